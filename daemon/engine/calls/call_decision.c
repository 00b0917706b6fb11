/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/calls/call_decision.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "engine/calls/call_record.h"
#include "engine/calls/calls.h"
#include "ipc/audit_record.h"
#include "policy/chain.h"
#include "policy/policy.h"

/* Time that the thread slept before is not the next plugin's. */
static void call_decision_note_sleeps(struct calls *calls)
{
	if (calls->slept)
		policy_slept(calls->policy);
	calls->slept = false;
	if (calls->sleeps != calls->connections->sleeps)
		policy_may_have_slept(calls->policy);
	calls->sleeps = calls->connections->sleeps;
}

static void call_decision_count(struct pending_call *pending)
{
	struct calls_counters *counters = &pending->calls->counters;

	counters->denied += pending->decision.verdict == VERDICT_DENY;
	counters->faults += pending->decision.verdict == VERDICT_FAULT;
}

/* What `mode: audit` let pass stands in the record of the stream's end. */
static void call_decision_tell_over(struct pending_call *pending)
{
	struct decision *decision = &pending->decision;

	if (pending->bytes_over && decision->verdict == VERDICT_ALLOW)
		snprintf(
			decision->reason, sizeof(decision->reason),
			"mode: audit; %llu bytes were over the bandwidth and would have had to wait",
			(unsigned long long)pending->bytes_over);
}

void call_decide(struct pending_call *pending)
{
	struct calls *calls = pending->calls;
	struct decision *decision = &pending->decision;
	uint64_t began;

	ASSERT(!pending->meter_in && !pending->meter_out);
	pending->view.requested = pending->call.requested;
	pending->view.effective = pending->call.requested;
	call_record_asked(pending);
	call_decision_note_sleeps(calls);
	began = ticks_now();
	policy_decide(calls->policy, &pending->view, decision);
	pending->decision_ns = ticks_span_ns(&calls->scale, began, ticks_now());
	pending->meter_in = policy_meter(calls->policy, decision->meter_in);
	pending->meter_out = policy_meter(calls->policy, decision->meter_out);
	call_decision_count(pending);
	call_decision_tell_over(pending);
	call_record_decision(pending);
}

bool call_decide_again(struct pending_call *pending)
{
	struct calls *calls = pending->calls;

	ASSERT(pending->call.state == CALL_DELAYED && decision_permits(&pending->decision));
	if (!policy_judge_waited(calls->policy, &pending->view, &pending->decision))
		return true;
	call_decision_count(pending);
	audit_queue_undecided(calls->queue, pending->call.slot);
	call_record_decision(pending);
	return false;
}

static void call_decision_by_protocol(struct pending_call *pending, enum decision_verdict verdict,
				      const char *reason)
{
	struct decision *decision = &pending->decision;

	memset(decision, 0, sizeof(*decision));
	decision->verdict = verdict;
	decision->effective = pending->call.requested;
	snprintf(decision->decider, sizeof(decision->decider), "protocol");
	snprintf(decision->reason, sizeof(decision->reason), "%s", reason);
	call_record_decision(pending);
}

void call_refuse(struct pending_call *pending, const char *reason)
{
	call_decision_by_protocol(pending, VERDICT_DENY, reason);
}

void call_leave_undecided(struct pending_call *pending, uint32_t close_reason)
{
	static const char *const reasons[AUDIT_CLOSE_REASONS] = {
		[AUDIT_CLOSE_RELEASED] = "its socket was released",
		[AUDIT_CLOSE_GUEST_GONE] = "its guest has gone",
		[AUDIT_CLOSE_CUT_OFF] = "its guest was cut off",
		[AUDIT_CLOSE_OPERATOR] = "its socket was killed",
		[AUDIT_CLOSE_SHUTDOWN] = "the daemon stops",
	};

	ASSERT(close_reason < AUDIT_CLOSE_REASONS && reasons[close_reason]);
	call_decision_by_protocol(pending, VERDICT_NONE, reasons[close_reason]);
}
