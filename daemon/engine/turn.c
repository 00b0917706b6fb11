/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine's loop.
 *
 * Before it sleeps it looks for a while whether something comes, because a sleep and a wake-up cost
 * more than most waits are long. How long: doubled when looking found something, halved when it did
 * not, and restarted when a sleep turned out to have been short. An idle engine therefore does not
 * look at all.
 */
#include <errno.h>
#include <sched.h>
#include <unistd.h>

#include "base/clock.h"
#include "engine/calls.h"
#include "engine/connection.h"
#include "engine/engine.h"
#include "engine/follow.h"
#include "engine/link.h"
#include "engine/serve.h"

#define PORTS_PER_TURN 256
#define SPIN_NS_FIRST  10000u           /* the first look after a short sleep */
#define SPIN_PAUSE_NS  (10 * NS_PER_MS) /* no look for so long when the processor is wanted */

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
	link_send(engine, CONTROL_BROKEN, 0, 0, engine->broken);
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

	if (!engine->attached)
		return false;
	busy = take_events(engine);
	take_commits(engine);
	if (engine->ring_due && !engine->starved) {
		serve_ring(engine);
		busy = true;
	}
	busy |= connections_run(engine);
	follow_guest(engine);
	busy |= engine->run_first || engine->ring_due;
	connections_settle(engine, busy ? ENGINE_SETTLE_TURNS : 0);
	show_responses(engine);
	engine_close_now(engine);
	audit_queue_flush(engine->queue, engine->start.sync);
	if (engine->broken[0])
		cut_off(engine);
	return busy;
}

/*
 * Lets others run that are ready on this processor: the peer of a connection, often. If they took
 * long, they need the processor more than we need to look.
 */
static void give_way(struct engine *engine)
{
	uint64_t before = clock_monotonic_ns();
	uint64_t now;

	sched_yield();
	now = clock_monotonic_ns();
	if (now - before < ENGINE_SPIN_NS_MAX)
		return;
	engine->spin_ns = 0;
	engine->spin_again_ns = now + SPIN_PAUSE_NS;
}

/* Looking has found something: look longer next time. */
static void look_longer(struct engine *engine)
{
	engine->spin_ns *= 2;
	if (engine->spin_ns > ENGINE_SPIN_NS_MAX)
		engine->spin_ns = ENGINE_SPIN_NS_MAX;
}

/* Looks for engine->spin_ns whether work comes. Returns whether it came. */
static bool look(struct engine *engine)
{
	uint64_t deadline = clock_monotonic_ns() + engine->spin_ns;

	while (engine->spin_ns && clock_monotonic_ns() < deadline) {
		give_way(engine);
		if (loop_turn(engine->loop, 0) > 0 || engine_turn(engine)) {
			look_longer(engine);
			return true;
		}
	}
	engine->spin_ns = engine->spin_ns > SPIN_NS_FIRST / 2 ? engine->spin_ns / 2 : 0;
	return false;
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
	uint64_t slept = clock_monotonic_ns();
	uint64_t now;
	int calls;

	if (!engine->attached)
		return loop_turn(engine->loop, LOOP_FOREVER);
	if (!await_events(engine))
		return loop_turn(engine->loop, 0);
	calls = loop_turn(engine->loop, LOOP_FOREVER);
	ops->awake(engine->transport);
	now = clock_monotonic_ns();
	if (!engine->spin_ns && now - slept < ENGINE_SPIN_NS_MAX && now > engine->spin_again_ns)
		engine->spin_ns = SPIN_NS_FIRST;
	return calls;
}

/* After a turn that did something: whoever waits for it runs first, then the next events. */
static int go_on(struct engine *engine)
{
	if (engine->spin_ns && !engine->run_first && !engine->ring_due)
		give_way(engine);
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

	while (!engine->stop && error >= 0) {
		if (engine_turn(engine))
			error = go_on(engine);
		else if (!look(engine))
			error = rest(engine);
	}
	engine_detach(engine, AUDIT_CLOSE_SHUTDOWN);
	send_tails(engine);
	return error < 0 ? error : 0;
}
