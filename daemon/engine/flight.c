/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/flight.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "call/wire_errno.h"
#include "engine/engine.h"
#include "engine/follow.h"
#include "policy/chain.h"

void flights_init(struct engine *engine)
{
	size_t i;

	engine->free_flights = NULL;
	for (i = 0; i < COMMAND_SLOTS; i++) {
		struct flight *flight = &engine->flights[i];

		memset(flight, 0, sizeof(*flight));
		flight->engine = engine;
		flight->next = engine->free_flights;
		engine->free_flights = flight;
	}
}

/* What plugins are told; requested and effective start as what the guest asked for. */
static void view_init(struct flight *flight)
{
	struct pvcalls_call *view = &flight->view;

	memset(view, 0, sizeof(*view));
	view->size = sizeof(*view);
	view->op = flight->call.op;
	view->serial = flight->call.serial;
	view->wall_ns = flight->call.wall_ns;
	view->monotonic_ns = flight->call.taken_ns;
	view->guest = &flight->engine->guest;
	view->requested = flight->call.requested;
	view->effective = flight->call.requested;
	view->backlog = flight->call.backlog;
}

static void stamp(struct flight *flight)
{
	flight->call.serial = ++flight->engine->serial;
	flight->call.wall_ns = clock_wall_ns();
	flight->call.taken_ns = clock_monotonic_ns();
}

struct flight *flight_begin(struct engine *engine, const struct wire_request *request,
			    uint32_t slot)
{
	struct flight *flight = engine->free_flights;

	engine->free_flights = flight->next;
	flight->next = NULL;
	flight->wait = FLIGHT_BUSY;
	flight->socket = NULL;
	flight->accepted = -1;
	flight->extra = 0;
	flight->close_reason = AUDIT_CLOSE_NONE;
	memset(&flight->peer, 0, sizeof(flight->peer));
	recovery_log_taken(&engine->recovery_log, (uint32_t)(flight - engine->flights), request,
			   engine->ring.req_cons);
	call_decode(&flight->call, request);
	flight->call.slot = slot;
	stamp(flight);
	view_init(flight);
	engine->counters.calls++;
	engine->bytes_moved += FOLLOW_CALL_BYTES;
	return flight;
}

/* Puts the decision into the slot: from now on it is kept, whatever happens to us. */
static void record_decision(struct flight *flight)
{
	struct engine *engine = flight->engine;
	struct audit_record *record = audit_queue_record(engine->queue, flight->call.slot);
	const struct decision *decision = &flight->decision;

	flight->call.decided_ns = clock_monotonic_ns();
	record->op = flight->call.op;
	record->serial = flight->call.serial;
	record->wall_ns = flight->call.wall_ns;
	record->socket = flight->view.socket;
	record->parent = flight->view.parent;
	record->requested = flight->call.requested;
	record->effective = decision->effective;
	record->local = flight->view.local;
	record->peer = flight->peer;
	record->verdict = decision->verdict;
	record->rewritten = decision->rewritten;
	record->decision_ns = flight->call.decided_ns - flight->call.taken_ns;
	memcpy(record->policy_digest, policy_digest(engine->policy), AUDIT_DIGEST_BYTES);
	snprintf(record->policy, sizeof(record->policy), "%s", policy_name(engine->policy));
	memcpy(record->decider, decision->decider, sizeof(record->decider));
	memcpy(record->rule, decision->rule, sizeof(record->rule));
	memcpy(record->reason, decision->reason, sizeof(record->reason));
	audit_queue_decided(engine->queue, flight->call.slot);
	call_advance(&flight->call, CALL_DECIDED);
}

void flight_decide(struct flight *flight)
{
	struct engine *engine = flight->engine;

	flight->view.requested = flight->call.requested;
	flight->view.effective = flight->call.requested;
	policy_decide(engine->policy, &flight->view, &flight->decision);
	flight->meter_in = policy_meter(engine->policy, flight->decision.meter_in);
	flight->meter_out = policy_meter(engine->policy, flight->decision.meter_out);
	if (flight->decision.verdict == VERDICT_DENY)
		engine->counters.denied++;
	if (flight->decision.verdict == VERDICT_FAULT)
		engine->counters.faults++;
	record_decision(flight);
}

void flight_refuse(struct flight *flight, const char *reason)
{
	struct decision *decision = &flight->decision;

	memset(decision, 0, sizeof(*decision));
	decision->verdict = VERDICT_DENY;
	decision->effective = flight->call.requested;
	snprintf(decision->decider, sizeof(decision->decider), "protocol");
	snprintf(decision->reason, sizeof(decision->reason), "%s", reason);
	flight->engine->counters.malformed++;
	record_decision(flight);
}

static void drop_meters(struct flight *flight)
{
	meter_unref(flight->meter_in);
	meter_unref(flight->meter_out);
	flight->meter_in = NULL;
	flight->meter_out = NULL;
}

/* Completes the record, hands it to the writer and tells the plugins. */
static void complete(struct flight *flight, int result)
{
	struct engine *engine = flight->engine;
	struct audit_record *record = audit_queue_record(engine->queue, flight->call.slot);

	record->result = result;
	record->socket = flight->view.socket;
	record->parent = flight->view.parent;
	record->local = flight->view.local;
	record->peer = flight->peer;
	record->close_reason = flight->close_reason;
	record->bytes_in = flight->view.bytes_in;
	record->bytes_out = flight->view.bytes_out;
	record->duration_ns = flight->view.age_ns;
	record->total_ns = clock_monotonic_ns() - flight->call.taken_ns;
	audit_queue_done(engine->queue, flight->call.slot);
	call_advance(&flight->call, CALL_DONE);
	drop_meters(flight);
	if (!flight->call.invalid)
		policy_observe(engine->policy, &flight->view, &flight->decision, result);
}

static void release_flight(struct flight *flight)
{
	struct engine *engine = flight->engine;

	flight->wait = FLIGHT_FREE;
	flight->socket = NULL;
	flight->next = engine->free_flights;
	engine->free_flights = flight;
}

static void answer(struct flight *flight, int result)
{
	struct engine *engine = flight->engine;
	struct wire_response response = call_response(&flight->call, result);

	response.pad = flight->extra;
	if (engine->attached) {
		uint32_t number = (uint32_t)(flight - engine->flights);
		uint32_t rsp_prod = engine->ring.rsp_prod;

		recovery_log_answering(&engine->recovery_log, number, rsp_prod);
		command_ring_push(&engine->ring, &response);
		recovery_log_answered(&engine->recovery_log, number, rsp_prod);
		engine->respond_due = true;
	}
	release_flight(flight);
}

void flight_finish(struct flight *flight, int result)
{
	struct engine *engine = flight->engine;

	loop_disarm(engine->loop, &flight->timer);
	complete(flight, wire_errno(result));
	if (!engine->start.sync) {
		answer(flight, result);
		return;
	}
	flight->wait = FLIGHT_COMMIT;
	flight->socket = NULL;
	flight->result = result;
	audit_queue_await(engine->queue);
}

void flight_finish_silently(struct flight *flight, int result)
{
	struct engine *engine = flight->engine;

	loop_disarm(engine->loop, &flight->timer);
	complete(flight, wire_errno(result));
	if (engine->attached)
		recovery_log_unanswered(&engine->recovery_log,
					(uint32_t)(flight - engine->flights));
	release_flight(flight);
	if (!engine->attached)
		return;
	engine->counters.lost_slots++;
	if (engine->counters.lost_slots == ENGINE_LOST_SLOTS_WARN)
		log_warning(
			&engine->log,
			"the guest has released %u listeners with an accept in flight; Linux "
			"frontends lose a ring slot with each and stop at %u: restart the guest",
			engine->counters.lost_slots, COMMAND_SLOTS);
}

bool flight_get_slot(struct flight *flight)
{
	struct engine *engine = flight->engine;

	if (flight->call.slot != FLIGHT_NO_SLOT)
		return true;
	if (audit_queue_take(engine->queue, &flight->call.slot))
		return true;
	flight->call.slot = FLIGHT_NO_SLOT;
	engine->starved = true;
	audit_queue_await(engine->queue);
	return false;
}

void flight_refused_peer(struct flight *flight, int result)
{
	complete(flight, wire_errno(result));
	/* The request itself goes on waiting, as a call that was never decided. */
	flight->call.state = CALL_TAKEN;
	flight->call.slot = FLIGHT_NO_SLOT;
	stamp(flight);
	flight->view.serial = flight->call.serial;
	flight->view.wall_ns = flight->call.wall_ns;
	flight->view.socket = 0;
	memset(&flight->peer, 0, sizeof(flight->peer));
}

int flight_record_release(struct engine *engine, const struct flight_release *about)
{
	struct flight flight = {.engine = engine, .wait = FLIGHT_BUSY, .accepted = -1};

	audit_queue_reap(engine->queue, flights_stored, engine);
	if (!audit_queue_take(engine->queue, &flight.call.slot))
		return -ENOBUFS;
	flight.call.op = PVCALLS_OP_RELEASE;
	stamp(&flight);
	view_init(&flight);
	flight.view.socket = about->socket;
	flight.view.parent = about->parent;
	flight.view.local = about->local;
	flight.view.bytes_in = about->bytes_in;
	flight.view.bytes_out = about->bytes_out;
	flight.view.age_ns = about->age_ns;
	flight.peer = about->peer;
	flight.close_reason = about->reason;
	flight_decide(&flight);
	complete(&flight, 0);
	return 0;
}

void flights_stored(void *owner, uint32_t slot)
{
	struct engine *engine = owner;
	size_t i;

	for (i = 0; i < COMMAND_SLOTS; i++) {
		struct flight *flight = &engine->flights[i];

		if (flight->wait == FLIGHT_COMMIT && flight->call.slot == slot)
			answer(flight, flight->result);
	}
}
