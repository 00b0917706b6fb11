/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Replacing the policies of a running daemon: all of them or none, without losing a call. */
#ifndef SUPERVISOR_POLICIES_RELOAD_H
#define SUPERVISOR_POLICIES_RELOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "supervisor/guests/guests.h"
#include "supervisor/policies/policies.h"

#define RELOAD_ANSWER_NS (5 * NS_PER_S) /* engines have so long to take the new policy */

/* error 0: in force; text says for how many guests. Else nothing changed; text says why. */
typedef void (*reload_done_fn)(void *owner, int error, const char *text);

/* The one reload that may be under way. Set up by reload_init(). */
struct reload {
	struct policies *policies;
	struct guests *guests;
	struct loop_timer timer;
	bool waiting; /* for engines */
	uint32_t uid; /* whose command it is */
	uint32_t sent;
	uint32_t moved; /* guests that are served by another policy, or text, than before */
	uint32_t refused;
	bool warned;         /* the policies have warnings */
	reload_done_fn done; /* NULL: nobody waits */
	void *owner;
};

/* Nothing is under way. Both are borrowed. */
void reload_init(struct reload *reload, struct policies *policies, struct guests *guests);
/*
 * Begins a reload for user uid; done (may be NULL) is called from the loop. Returns 0; -EBUSY, or
 * another -errno with *fault when the files can't even be read: then done is not called.
 */
int reload_start(struct reload *reload, uint32_t uid, reload_done_fn done, void *owner,
		 struct fault *fault);
/* Waits no longer: the command that asked for it is not answered any more. */
void reload_stop(struct reload *reload);

/* For struct guests: an engine has answered, or is gone. */
void reload_policy_taken(void *owner, struct guest *guest, int error, const char *text);
void reload_guest_gone(void *owner, struct guest *guest);

#endif
