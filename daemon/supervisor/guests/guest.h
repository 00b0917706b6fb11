/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One guest: a device of the transport with its engine, and what is to be done about both. */
#ifndef SUPERVISOR_GUESTS_GUEST_H
#define SUPERVISOR_GUESTS_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/loop.h"
#include "ipc/audit_record.h"
#include "policy/policy.h"
#include "supervisor/children/engine_process.h"
#include "transport/device.h"

struct guests;

#define GUEST_TAKE_OVER_NS (100 * NS_PER_MS) /* before a new engine takes a guest's rings over */
#define GUEST_STARTS_NS    (1 * NS_PER_S)    /* of engines again for one guest: one in so long, */
#define GUEST_STARTS_BURST 20u               /* beyond so many at once */

#define GUEST_POLICY_PATH 256

/* One guest. Fields are for reading only, outside guests/. */
struct guest {
	struct guest *next;
	struct guests *guests;
	struct device *device;
	struct engine_process *engine; /* NULL: none is needed now */
	bool attached;      /* an event GUEST_ATTACHED was stored, and none that ends it */
	bool attach_wanted; /* ATTACH as soon as the engine is ready */
	bool taking_over;   /* its engine goes on with rings that another one served */
	bool dropped;       /* its device is being taken away: nothing more is done */
	bool policy_stale;  /* the last policy sent to it was refused */
	bool policy_moved;  /* and it was another than the one before, or has changed */
	struct loop_timer pause;
	uint64_t starts_ns; /* CLOCK_MONOTONIC: until then its starts use up its burst */
	uint64_t since_wall_ns;
	char policy[GUEST_POLICY_PATH]; /* the file it is served with; empty: deny all */
	char policy_name[PVCALLS_NAME_MAX];
	uint8_t policy_digest[POLICY_DIGEST_BYTES]; /* of its text; zero: deny all */
};

/* Does what its device's states ask for now, until there is nothing to do but wait. */
void guest_step(struct guest *guest);
/* Takes a guest's device away; once. why is for the log of who loses it. */
void guest_drop(struct guest *guest, enum audit_close reason, const char *why);
/*
 * Its connection is over: ends its engine, and stores and logs why it is detached if it was
 * attached.
 */
void guest_detached(struct guest *guest, enum audit_close reason, const char *why);
/*
 * Sends a guest the policy that now fits it. Returns 0, then policy_taken() of struct guests
 * follows; -ENOENT: it has no engine, and gets the policy with its next one; or another -errno.
 */
int guest_send_policy(struct guest *guest);

#endif
