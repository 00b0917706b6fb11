/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/calls/call_record.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/wall_clock.h"
#include "call/wire_errno.h"
#include "engine/calls/calls.h"
#include "policy/chain.h"
#include "policy/policy.h"

bool call_record_take_slot(struct calls *calls, uint32_t *slot)
{
	if (audit_queue_take(calls->queue, slot))
		return true;
	*slot = PENDING_CALL_NO_SLOT;
	calls->starved = true;
	audit_queue_await(calls->queue);
	return false;
}

void call_record_stamp(struct pending_call *pending)
{
	struct calls *calls = pending->calls;

	pending->call.wall_ns = wall_clock_now_ns(calls->wall_clock);
	pending->call.taken_ns = loop_now_ns(calls->loop);
	pending->taken_ticks = ticks_now();
	pending->view.wall_ns = pending->call.wall_ns;
	pending->view.monotonic_ns = pending->call.taken_ns;
}

void call_record_number(struct pending_call *pending)
{
	struct pvcalls_call *view = &pending->view;

	pending->call.serial = ++pending->calls->serial;
	pending->decision_ns = 0;
	memset(view, 0, sizeof(*view));
	view->size = sizeof(*view);
	view->op = pending->call.op;
	view->serial = pending->call.serial;
	view->guest = pending->calls->guest;
	view->requested = pending->call.requested;
	view->effective = pending->call.requested;
	view->backlog = pending->call.backlog;
	call_record_stamp(pending);
}

/* What is known of a call before it is decided. */
static void call_record_question(const struct pending_call *pending, struct audit_record *record)
{
	const struct policy *policy = pending->calls->policy;

	record->op = pending->call.op;
	record->serial = pending->call.serial;
	record->wall_ns = pending->call.wall_ns;
	record->socket = pending->view.socket;
	record->parent = pending->view.parent;
	record->requested = pending->call.requested;
	record->local = pending->view.local;
	record->peer = pending->peer;
	memcpy(record->policy_digest, policy_digest(policy), AUDIT_DIGEST_BYTES);
	snprintf(record->policy, sizeof(record->policy), "%s", policy_name(policy));
}

void call_record_waiting(struct pending_call *pending)
{
	struct calls *calls = pending->calls;

	if (audit_queue_is_waiting(calls->queue, pending->call.slot))
		return;
	call_record_question(pending, audit_queue_record(calls->queue, pending->call.slot));
	audit_queue_waits(calls->queue, pending->call.slot);
}

void call_record_asked(struct pending_call *pending)
{
	struct calls *calls = pending->calls;

	call_record_question(pending, audit_queue_record(calls->queue, pending->call.slot));
	audit_queue_asked(calls->queue, pending->call.slot);
}

void call_record_decision(struct pending_call *pending)
{
	struct calls *calls = pending->calls;
	struct audit_record *record = audit_queue_record(calls->queue, pending->call.slot);
	const struct decision *decision = &pending->decision;

	call_record_question(pending, record);
	record->effective = decision->effective;
	record->verdict = decision->verdict;
	record->rewritten = decision->rewritten;
	record->decision_ns = pending->decision_ns;
	memcpy(record->decider, decision->decider, sizeof(record->decider));
	memcpy(record->rule, decision->rule, sizeof(record->rule));
	memcpy(record->reason, decision->reason, sizeof(record->reason));
	memcpy(record->rewriter, decision->rewriter, sizeof(record->rewriter));
	memcpy(record->rewrite_rule, decision->rewrite_rule, sizeof(record->rewrite_rule));
	audit_queue_decided(calls->queue, pending->call.slot);
	call_advance(&pending->call, CALL_DECIDED);
}

/* Within one turn by the processor's counter, beyond it by the clock of its turns. */
static uint64_t call_record_total_ns(const struct pending_call *pending)
{
	const struct calls *calls = pending->calls;
	uint64_t total_ns = loop_now_ns(calls->loop) - pending->call.taken_ns;

	if (!total_ns)
		total_ns = ticks_span_ns(&calls->scale, pending->taken_ticks, ticks_now());
	return total_ns > pending->decision_ns ? total_ns : pending->decision_ns;
}

void call_record_outcome(struct pending_call *pending, int result)
{
	struct calls *calls = pending->calls;
	struct audit_record *record = audit_queue_record(calls->queue, pending->call.slot);

	result = wire_errno(result);
	record->wall_ns = wall_clock_now_ns(calls->wall_clock);
	record->result = result;
	record->socket = pending->view.socket;
	record->parent = pending->view.parent;
	record->local = pending->view.local;
	record->peer = pending->peer;
	record->close_reason = pending->close_reason;
	record->cancelled = pending->cancelled;
	calls->counters.cancelled += pending->cancelled;
	record->bytes_in = pending->view.bytes_in;
	record->bytes_out = pending->view.bytes_out;
	record->duration_ns = pending->view.age_ns;
	record->total_ns = call_record_total_ns(pending);
	/* Before it is handed over: the guest has no answer yet, and gets none if a plugin ends the
	 * engine now. */
	if (!pending->call.invalid)
		policy_observe(calls->policy, &pending->view, &pending->decision, result);
	audit_queue_done(calls->queue, pending->call.slot);
	meter_unref(pending->meter_in);
	meter_unref(pending->meter_out);
	pending->meter_in = pending->meter_out = NULL;
}
