/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guests that are attached: each a device of the transport with its engine. */
#ifndef SUPERVISOR_GUESTS_H
#define SUPERVISOR_GUESTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "supervisor/engines.h"
#include "supervisor/policies.h"
#include "supervisor/writer.h"
#include "transport/device.h"

/* What the backend offers; the Linux frontend needs exactly "1", at least 4, and "1". */
#define GUEST_VERSIONS         "1"
#define GUEST_MAX_PAGE_ORDER   "9"
#define GUEST_FUNCTION_CALLS   "1"
#define GUEST_FEATURE_NAMES    "1"
#define GUEST_FEATURE_CANCEL   "1"
#define GUEST_FEATURE_REUSE    "1"
#define GUEST_FEATURE_SHUTDOWN "1"

#define GUEST_ADOPT_NS     (100 * NS_PER_MS) /* before a new engine takes a guest's rings over */
#define GUEST_STARTS_NS    (1 * NS_PER_S)    /* of engines again for one guest: one in so long, */
#define GUEST_STARTS_BURST 20u               /* beyond so many at once */

#define GUEST_POLICY_PATH 256

/* One guest. Fields are for reading only, outside guests.c. */
struct guest {
	struct guest *next;
	struct guests *guests;
	struct device *device;
	struct engine *engine; /* NULL: none is needed now */
	bool attached;         /* an event GUEST_ATTACHED was stored, and none that ends it */
	bool attach_wanted;    /* ATTACH as soon as the engine is ready */
	bool adopting;         /* its engine goes on with rings that another one served */
	bool dropped;          /* its device is being taken away: nothing more is done */
	bool policy_stale;     /* the last policy sent to it was refused */
	struct loop_timer hold;
	uint64_t starts_ns; /* CLOCK_MONOTONIC: until then its starts use up its burst */
	uint64_t since_wall_ns;
	char policy[GUEST_POLICY_PATH]; /* the file it is served with; empty: deny all */
	char policy_name[PVCALLS_NAME_MAX];
};

/* All guests. Filled by the owner, zero from "its own" on. */
struct guests {
	struct loop *loop;
	const struct log *log;
	struct engines *engines;
	struct writer *writer;
	const struct config *config;
	const struct policies *policies;
	const char *runtime_dir;
	/* Told of each answer to guest_policy(); may be NULL. */
	void (*policy_taken)(void *owner, struct guest *guest, int error, const char *text);
	void (*gone)(void *owner, struct guest *guest); /* before it is freed; may be NULL */
	void *owner;
	/* its own */
	struct guest *list;
	uint32_t count;
	uint64_t refused;     /* attempts to attach */
	uint64_t ignored;     /* combinations of states that don't exist */
	uint64_t refusals_ns; /* see note_refusal() */
	uint32_t refusals;
	bool stopping;
};

/* The calls for a transport; context is guests. */
void guests_events(struct guests *guests, struct device_events *events);

/* The guest of this name, domid or uuid, or NULL. */
struct guest *guests_find(const struct guests *guests, const char *text);
/* Takes a guest's device away. */
void guest_drop(struct guest *guest, enum audit_close reason, const char *why);
/* Sends a guest the policy that now fits it. Returns 0 (policy_taken follows), or -errno. */
int guest_policy(struct guest *guest);
/* Ends all engines, and lets no guest in any more. */
void guests_stop(struct guests *guests);
/* Frees all; their devices are forgotten. */
void guests_free(struct guests *guests);

#endif
