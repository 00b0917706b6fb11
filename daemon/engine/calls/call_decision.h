/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who says what is to become of a call: the policy, or the protocol itself. */
#ifndef ENGINE_CALLS_CALL_DECISION_H
#define ENGINE_CALLS_CALL_DECISION_H

#include <stdbool.h>
#include <stdint.h>

struct pending_call;

/* Asks the policy and records its decision; the call is CALL_DECIDED. */
void call_decide(struct pending_call *pending);
/*
 * Has the host rules look at a call again that has waited and is about to be executed. If they deny
 * it now, the new decision is recorded instead of the old one. Returns whether the call may go on.
 */
bool call_decide_again(struct pending_call *pending);
/* Records that the protocol itself refuses a call, for this reason; the call is CALL_DECIDED. */
void call_refuse(struct pending_call *pending, const char *reason);
/*
 * Records that nobody will decide a call, because it ends for this reason (enum audit_close) while
 * it waits to be; the call is CALL_DECIDED.
 */
void call_leave_undecided(struct pending_call *pending, uint32_t close_reason);

#endif
