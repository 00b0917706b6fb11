/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a policy is asked for each call: host rules, chain, and after a rewrite both again.
 *
 * Theory of operation. The chain's plugins are asked in order; policy/trial.h says whose word
 * counts. A deny of the host rules is kept aside, since a rewrite may still move the call
 * elsewhere: if none does, it is the decision. Nothing here allocates memory.
 */
#ifndef POLICY_CHAIN_H
#define POLICY_CHAIN_H

#include <stdbool.h>
#include <stdint.h>

#include <pvcalls/plugin.h>

#include "call/call.h"

struct policy; /* policy/policy.h */

/*
 * Decides a call. Cannot fail: a plugin's fault is a verdict. Fills *decision wholly. The view's
 * effective endpoint is updated as plugins rewrite.
 */
void policy_decide(struct policy *policy, struct pvcalls_call *view, struct decision *decision);

/*
 * For a call that policy_decide() permitted, that has waited since (for a delay), and that is about
 * to be executed: the host may be another now. Refreshes what is known of it and lets the host
 * rules judge anew the effective address of connect and bind, and the local one of listen; plugins
 * are not asked again. If they deny, or the host can't be read, *decision becomes that denial:
 * decider "floor", no delay, no meters, the effective address and who rewrote as they were. Returns
 * whether it does; if not, *decision is as it was. The view is the one that was decided on: its
 * local address must be the socket's of now, its effective one is set from *decision.
 */
bool policy_judge_waited(struct policy *policy, struct pvcalls_call *view,
			 struct decision *decision);

/* Whether an address is the host's own, or may be: then the other end may be on loopback, too. */
bool policy_may_be_host(const struct policy *policy, const struct pvcalls_endpoint *endpoint);
/* Whether some plugin looks at which address of the host the peer of an accept came to. */
bool policy_wants_local(const struct policy *policy);

/* Tells every plugin what came of a call that policy_decide() saw: 0 or a negative errno. */
void policy_observe(struct policy *policy, const struct pvcalls_call *view,
		    const struct decision *decision, int32_t result);

/* The thread that decides slept: time that it does not owe to plugins, see hook_time.h. */
void policy_slept(struct policy *policy);
/* It made a call that may have slept, shortly. */
void policy_may_have_slept(struct policy *policy);

#endif
