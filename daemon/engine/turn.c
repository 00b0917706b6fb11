/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engine's loop: a turn's work, then a look for more (look.h), then sleep. */
#include <errno.h>
#include <unistd.h>

#include "base/clock.h"
#include "engine/calls.h"
#include "engine/connection.h"
#include "engine/engine.h"
#include "engine/follow.h"
#include "engine/link.h"
#include "engine/serve.h"
#include "policy/chain.h"

#define PORTS_PER_TURN  256
#define LOOKS_PER_CLOCK 32 /* at memory, for each look at the clock, which may be a system call */

/* Hands events to the command ring and the connections. Returns whether there were any. */
static bool take_events(struct engine *engine)
{
	struct transport *transport = engine->transport;
	uint32_t ports[PORTS_PER_TURN];
	int count = transport->ops->pending(transport, ports, PORTS_PER_TURN);
	int i;

	for (i = 0; i < count; i++) {
		if (ports[i] == engine->command_port) {
			engine->ring_due = true;
			engine->ring_masked = true;
		} else if (engine->by_port[ports[i]]) {
			connection_rung(engine->by_port[ports[i]]);
		}
	}
	engine->ring_due |= command_ring_waiting(&engine->ring);
	connections_look(engine);
	return count > 0;
}

static void show_responses(struct engine *engine)
{
	if (!engine->respond_due)
		return;
	engine->respond_due = false;
	if (command_ring_publish(&engine->ring))
		engine->transport->ops->notify(engine->transport, engine->command_port);
}

/* The writer gave slots back: answers that waited for it, and a ring that was left unread. */
static void take_commits(struct engine *engine)
{
	if (!engine->starved && !engine->start.sync)
		return;
	if (!audit_queue_reap(engine->queue, flights_stored, engine)) {
		audit_queue_await(engine->queue);
		return;
	}
	if (!engine->starved)
		return;
	engine->starved = false;
	engine->ring_due = true;
	accepts_retry(engine);
}

static void cut_off(struct engine *engine)
{
	log_warning(&engine->log, "the guest is cut off: %s", engine->broken);
	engine_detach(engine, AUDIT_CLOSE_CUT_OFF);
	link_send(engine, ENGINE_MESSAGE_BROKEN, 0, 0, engine->broken);
}

void engine_close_now(struct engine *engine)
{
	while (engine->closing_count)
		close(engine->closing[--engine->closing_count]);
}

void engine_close_later(struct engine *engine, int fd)
{
	if (engine->closing_count == ENGINE_CLOSING_MAX)
		engine_close_now(engine);
	engine->closing[engine->closing_count++] = fd;
}

bool engine_turn(struct engine *engine)
{
	bool busy;

	engine->turn++;
	engine->look.peers_told = false;
	if (!engine->attached)
		return false;
	busy = take_events(engine);
	take_commits(engine);
	if (engine->ring_due && !engine->starved) {
		serve_ring(engine);
		engine->look.peers_told = true;
		busy = true;
	}
	busy |= connections_run(engine);
	follow_guest(engine);
	priority_adjust(&engine->priority);
	busy |= engine->run_first || engine->ring_due;
	connections_settle(engine, busy ? ENGINE_SETTLE_TURNS : 0);
	show_responses(engine);
	engine_close_now(engine);
	audit_queue_flush(engine->queue, engine->start.sync);
	if (engine->broken[0])
		cut_off(engine);
	return busy;
}

/* Whether the guest's memory alone shows work. */
static bool shows_work(struct engine *engine)
{
	return (!engine->starved && command_ring_waiting(&engine->ring)) ||
	       connections_have_work(engine);
}

/* Looks at the guest's memory for a slice of the time. Returns whether it shows work. */
static bool watch_memory(struct engine *engine)
{
	uint64_t until = look_slice(&engine->look);
	bool shown = false;
	int i;

	do {
		for (i = 0; i < LOOKS_PER_CLOCK && !shown; i++) {
			shown = shows_work(engine);
			look_pause();
		}
	} while (!shown && clock_monotonic_ns() < until);
	return shown;
}

/*
 * Looks whether work comes, as long as that may pay: at the guest's memory without any system call,
 * and in between, after others had the processor, at sockets and timers. What memory showed is not
 * believed twice in a row if the turn in between found nothing to do. Returns whether work came.
 */
static bool look_for_work(struct engine *engine)
{
	struct look *look = &engine->look;
	bool in_vain = look->shown;
	bool found = false;

	look->shown = false;
	look_begin(look);
	while (engine->attached && !found && look_on(look)) {
		found = look->shown = !in_vain && watch_memory(engine);
		in_vain = false;
		if (found)
			break;
		look_give_way(look);
		found = loop_turn(engine->loop, 0) > 0;
	}
	look_end(look, found);
	return found;
}

/*
 * Has the guest send events again, for requests and for all connections. Returns false if something
 * is there already, so that the engine must not sleep.
 */
static bool await_events(struct engine *engine)
{
	struct transport *transport = engine->transport;

	/* A ring that is left unread, until the trail has room, asks for no events. */
	if (!engine->starved && command_ring_final_check(&engine->ring))
		return false;
	if (engine->ring_masked)
		transport->ops->unmask(transport, engine->command_port);
	engine->ring_masked = false;
	connections_cool(engine);
	return transport->ops->may_sleep(transport);
}

/* Sleeps until the transport, a socket, a timer or the supervisor has something. */
static int rest(struct engine *engine)
{
	const struct transport_ops *ops = engine->transport->ops;
	uint64_t slept_ns = clock_monotonic_ns();
	int calls;

	policy_slept(engine->policy);
	if (!engine->attached)
		return loop_turn(engine->loop, LOOP_FOREVER);
	if (!await_events(engine))
		return loop_turn(engine->loop, 0);
	calls = loop_turn(engine->loop, LOOP_FOREVER);
	ops->awake(engine->transport);
	look_after_sleep(&engine->look, slept_ns);
	return calls;
}

/*
 * After a turn that did something: peers that it gave something to run first, then sockets are
 * asked. A turn that only gave the guest something is followed by a look at the guest's memory
 * instead, but not twice in a row.
 */
static int go_on(struct engine *engine)
{
	struct look *look = &engine->look;
	bool queued = engine->run_first || engine->ring_due;

	look->shown = false;
	look->unasked = !queued && !look->peers_told && !look->unasked;
	if (look->unasked)
		return 0;
	if (!queued && look->ns)
		look_give_way(look);
	return loop_turn(engine->loop, 0);
}

/*
 * The guest is gone, but peers are still to get what it had written to sockets that it released. A
 * supervisor that dies meanwhile ends us by a signal, see start.c.
 */
static void send_tails(struct engine *engine)
{
	loop_remove(engine->loop, &engine->bell_source);
	loop_remove(engine->loop, &engine->doorbell_source);
	while (linger_bytes(engine->lingers) > 0 && loop_turn(engine->loop, LOOP_FOREVER) >= 0)
		;
}

int engine_run(struct engine *engine)
{
	int error = 0;

	look_calibrate(&engine->look);
	while (!engine->stop && error >= 0) {
		if (engine_turn(engine))
			error = go_on(engine);
		else if (!look_for_work(engine))
			error = rest(engine);
	}
	engine_detach(engine, AUDIT_CLOSE_SHUTDOWN);
	send_tails(engine);
	return error < 0 ? error : 0;
}
