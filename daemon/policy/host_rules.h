/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The built-in host rules: what no guest may do whatever its chain says, that is to reach the host,
 * or to take the host's ports. Where users meet them (the policy's key `floor`, the decider "floor"
 * of a record) they are called the floor: nothing that a policy says falls below it.
 *
 * connect: not to loopback, the unspecified network, the host's own and broadcast addresses,
 * link-local (metadata services), multicast, reserved addresses, port 0. bind: not to addresses of
 * these kinds, but the host's own unicast ones are what there is to bind to, and 0.0.0.0 means all
 * of them; not to ports below 1024, nor to any the host listens on. listen: not without a bind
 * before it, which would listen on every address. accept: not at a loopback address, where a
 * listener at 0.0.0.0 would otherwise be reached by what runs on the host. What is named under
 * `floor: {allow: ...}` is let through; ports of the host never are.
 */
#ifndef POLICY_HOST_RULES_H
#define POLICY_HOST_RULES_H

#include <stdbool.h>

#include <pvcalls/plugin.h>

#include "policy/host_view/host_view.h"
#include "policy/match/groups.h"
#include "policy/match/set.h"

#define HOST_RULES_PORT_FIRST 1024u /* ports below are the host's */

/* The host rules of one policy. */
struct host_rules {
	struct host_view *host;    /* borrowed; NULL: nothing is known, so nothing is reached */
	struct pvcalls_set *allow; /* what the policy opens by name; NULL: nothing */
};

/* Why the host rules deny; all zero when they do not. */
struct host_denial {
	const char *rule;   /* a constant, such as "loopback"; NULL: permitted */
	const char *reason; /* a constant */
	int error;          /* what the guest gets; 0: -EACCES */
};

/*
 * Reads the section `floor` (may be NULL) and compiles what it opens. Returns 0, -EINVAL after
 * errors were added, or -ENOMEM.
 */
int host_rules_read(struct host_rules *rules, const struct pvcalls_value *section,
		    const struct groups *groups, struct errors *errors);
void host_rules_free(struct host_rules *rules);

/*
 * Whether a bind to this address is permitted only since it is made before a connect: port 0 of a
 * loopback address that no rule opens. The socket may not listen.
 */
bool host_rules_let_connect_only(const struct host_rules *rules, const struct pvcalls_endpoint *at);

/*
 * Brings what is known of the host up to date and judges the effective address of connect and bind,
 * or the local one of listen and accept; other operations are permitted. *unknown tells that the
 * host can't be read: then they deny whatever the address is.
 */
struct host_denial host_rules_judge_now(const struct host_rules *rules,
					const struct pvcalls_call *call, bool *unknown);
/* The same by what was known of the host last: for another address of the same call. */
struct host_denial host_rules_judge(const struct host_rules *rules,
				    const struct pvcalls_call *call);

#endif
