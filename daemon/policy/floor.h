/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What no guest may do whatever its chain says: reach the host, or take the host's ports.
 *
 * connect: not to loopback, the unspecified network, the host's own and broadcast addresses,
 * link-local (metadata services), multicast, reserved addresses, port 0. bind: not to addresses of
 * these kinds, but the host's own unicast ones are what there is to bind to; not to ports below
 * 1024, nor to any the host listens on. listen: not without a bind before it, which would listen on
 * every address. What is named in `floor: {allow: ...}` is let through; ports of the host never
 * are.
 */
#ifndef POLICY_FLOOR_H
#define POLICY_FLOOR_H

#include <stdbool.h>

#include <pvcalls/plugin.h>

#include "policy/groups.h"
#include "policy/host.h"
#include "policy/set.h"

#define FLOOR_PORT_FIRST 1024u /* ports below are the host's */

/* The floor of one policy. */
struct floor {
	struct host_view *host;    /* borrowed; NULL: nothing is known, so nothing is reached */
	struct pvcalls_set *allow; /* NULL: nothing is opened */
};

/* Why the floor denies; all zero when it does not. */
struct floor_verdict {
	const char *rule;   /* a constant, such as "loopback"; NULL: permitted */
	const char *reason; /* a constant */
};

/*
 * Reads the section `floor` (may be NULL) and compiles what it opens. Returns 0, -EINVAL after
 * errors were added, or -ENOMEM.
 */
int floor_read(struct floor *floor, const struct pvcalls_value *section,
	       const struct groups *groups, struct errors *errors);
void floor_free(struct floor *floor);

/* Brings what is known of the host up to date: call once per decision. Returns 0 or -errno. */
int floor_refresh(struct floor *floor);
/* Judges the effective endpoint of connect and bind, and the local one of listen. */
struct floor_verdict floor_judge(const struct floor *floor, const struct pvcalls_call *call);

#endif
