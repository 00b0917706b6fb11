/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way of a call: take, decode, decide, record, execute, finish. This file is the only one that
 * knows the order.
 */
#include "engine/serve.h"

#include <stddef.h>

#include "base/clock.h"
#include "engine/calls.h"
#include "engine/engine.h"

static void refuse(struct flight *flight, int error, const char *reason)
{
	flight_refuse(flight, reason);
	flight_finish(flight, error);
}

static void execute(struct flight *flight)
{
	const struct call_steps *steps = &call_steps[flight->call.op];
	int result;

	flight->wait = FLIGHT_BUSY;
	if (!steps->decides_later)
		call_advance(&flight->call, CALL_RUNNING);
	result = steps->execute(flight);
	if (result == CALL_LATER)
		return;
	if (result < 0 && steps->undo)
		steps->undo(flight, result);
	flight_finish(flight, result);
}

static void delay_over(struct loop_timer *timer)
{
	execute(timer->owner);
}

void serve_execute(struct flight *flight)
{
	const struct call_steps *steps = &call_steps[flight->call.op];
	struct engine *engine = flight->engine;
	uint64_t delay = flight->decision.delay_ns;

	if (!decision_permits(&flight->decision) && !call_operations[flight->call.op].always_runs) {
		if (steps->undo)
			steps->undo(flight, flight->decision.error);
		flight_finish(flight, flight->decision.error);
		return;
	}
	if (delay && loop_arm(engine->loop, &flight->timer, clock_monotonic_ns() + delay,
			      delay_over, flight) == 0) {
		flight->wait = FLIGHT_DELAY;
		return;
	}
	execute(flight);
}

static void serve_call(struct flight *flight)
{
	const struct call_steps *steps;
	int error;

	if (flight->call.invalid) {
		refuse(flight, flight->call.invalid, "malformed request");
		return;
	}
	steps = &call_steps[flight->call.op];
	error = steps->prepare(flight);
	if (error) {
		refuse(flight, error, "the socket is not in a state for this call");
		return;
	}
	if (steps->decides_later) {
		execute(flight);
		return;
	}
	flight_decide(flight);
	serve_execute(flight);
}

void serve_ring(struct engine *engine)
{
	struct wire_request request;
	uint32_t left = ENGINE_REQUESTS_PER_TURN;

	engine->ring_due = false;
	while (left-- && !engine->broken[0]) {
		uint32_t slot;
		int got;

		if (!audit_queue_take(engine->queue, &slot)) {
			engine->starved = true;
			engine->counters.stalls++;
			audit_queue_await(engine->queue);
			return;
		}
		got = command_ring_take(&engine->ring, &request);
		if (got > 0) {
			serve_call(flight_begin(engine, &request, slot));
			continue;
		}
		audit_queue_untake(engine->queue, slot);
		if (got < 0)
			engine_broken(engine, "the command ring's producer index is impossible");
		return;
	}
	engine->ring_due = true;
}
