/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All guests that there are devices of. */
#ifndef SUPERVISOR_GUESTS_GUESTS_H
#define SUPERVISOR_GUESTS_GUESTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "base/loop.h"
#include "policy/yaml/source_list.h"
#include "supervisor/children/auditd_process.h"
#include "supervisor/children/engine_processes.h"
#include "supervisor/guests/guest.h"
#include "supervisor/guests/kept_allowances.h"
#include "supervisor/settings/config.h"
#include "transport/device.h"

#define GUESTS_REFUSALS_MAX 20 /* events for the errors of one load of policies */

/* Filled by the owner, zero from "its own" on. */
struct guests {
	struct loop *loop;
	const struct log *log;
	struct engine_processes *engines;
	struct auditd_process *auditd;
	const struct config *config;
	const struct source_list *policies; /* those in force */
	const char *runtime_dir;
	/* Told of each answer to guest_send_policy(); may be NULL. */
	void (*policy_taken)(void *owner, struct guest *guest, int error, const char *text);
	void (*gone)(void *owner, struct guest *guest); /* before it is freed; may be NULL */
	void *owner;
	/* its own */
	struct guest *list;
	uint32_t count;
	struct kept_allowances kept;
	uint64_t refused;     /* attempts to attach */
	uint64_t ignored;     /* combinations of states that don't exist */
	uint64_t refusals_ns; /* see admission.c */
	uint32_t refusals;
	bool stopping;
};

/* The calls for a transport; context is guests. */
void guests_events(struct guests *guests, struct device_events *events);

/* The guest of this name, domid or uuid, or NULL. */
struct guest *guests_find(const struct guests *guests, const char *text);
/*
 * Stores that policies were refused, and why: an event for each line of text, GUESTS_REFUSALS_MAX
 * at most. name is the guest it is about, or NULL.
 */
void guests_note_policy_refused(struct guests *guests, const char *name, uint32_t uid,
				const char *text);
/* Ends all engines, and lets no guest in any more. */
void guests_stop(struct guests *guests);
/* Frees all; their devices are forgotten. */
void guests_free(struct guests *guests);

#endif
