/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/scheduling/turn.h"

#include <sched.h>

#include "base/assert.h"
#include "engine/calls/parking.h"
#include "engine/calls/serve.h"
#include "engine/connections/connection.h"
#include "engine/connections/polled.h"
#include "engine/connections/run_queue.h"

#define TURN_PORTS 256 /* events taken in a turn */

void turn_init(struct turn *turn, struct loop *loop, struct connections *connections,
	       struct calls *calls)
{
	turn->loop = loop;
	turn->connections = connections;
	turn->calls = calls;
	turn->slots_watch.calls = calls;
	affinity_init(&turn->affinity);
}

/* Hands events to the command ring and the connections. Returns whether there were any. */
static bool turn_take_events(struct turn *turn)
{
	struct connections *connections = turn->connections;
	struct calls *calls = turn->calls;
	struct transport *transport = connections->transport;
	uint32_t ports[TURN_PORTS];
	int count = transport->ops->pending(transport, ports, TURN_PORTS);
	int i;

	for (i = 0; i < count; i++) {
		ASSERT(ports[i] < TRANSPORT_PORTS);
		if (ports[i] == calls->command_port) {
			calls->ring_due = true;
			calls->ring_masked = true;
		} else if (connections->by_port[ports[i]]) {
			connection_notified(connections->by_port[ports[i]]);
		}
	}
	calls->ring_due |= command_ring_waiting(&calls->ring);
	run_queue_poll(connections);
	return count > 0;
}

static void turn_show_responses(struct turn *turn)
{
	struct calls *calls = turn->calls;
	struct transport *transport = turn->connections->transport;

	if (!calls->responses_due)
		return;
	calls->responses_due = false;
	if (command_ring_publish(&calls->ring))
		transport->ops->notify(transport, calls->command_port);
}

/* Whether there is work that waits for nothing but the next turn. */
static bool turn_has_queued(const struct turn *turn)
{
	const struct calls *calls = turn->calls;

	/* What waits for room in the trail is no work until the writer wakes us. */
	return turn->connections->run_first || calls->due_first ||
	       (calls->ring_due && !calls->starved);
}

bool turn_work(struct turn *turn)
{
	struct connections *connections = turn->connections;
	struct calls *calls = turn->calls;
	const struct traffic *traffic = &connections->traffic;
	bool busy;

	connections->turn++;
	connections->peers_told = false;
	if (!calls->attached) {
		serve_kept(calls);
		return false;
	}
	busy = turn_take_events(turn);
	serve_commits(calls);
	serve_left_accepts(calls);
	if (calls->ring_due && !calls->starved) {
		serve_ring(calls);
		connections->peers_told = true;
		busy = true;
	}
	busy |= run_queue_serve(connections);
	serve_releases(calls);
	affinity_adjust(&turn->affinity, connections->transport,
			traffic->given + traffic->taken +
				calls->counters.taken * AFFINITY_CALL_BYTES);
	priority_adjust(&turn->priority, traffic, loop_now_ns(turn->loop));
	parking_make_room(calls);
	slots_watch_look(&turn->slots_watch);
	busy |= turn_has_queued(turn);
	turn_show_responses(turn);
	deferred_close_now(&calls->closing);
	audit_queue_flush(calls->queue, calls->sync);
	return busy;
}

/* Whether the guest's memory alone shows work. */
static bool turn_memory_shows_work(void *owner)
{
	const struct turn *turn = owner;

	return (!turn->calls->starved && command_ring_waiting(&turn->calls->ring)) ||
	       polled_have_work(turn->connections);
}

/*
 * Polls for work as long as that may pay: looks at the guest's memory without any system call, and
 * in between, after others had the processor, at sockets and timers. What memory showed is not
 * believed twice in a row if the turn in between found nothing to do. Returns whether work came.
 */
static bool turn_poll(struct turn *turn)
{
	struct busy_poll *poll = &turn->poll;
	bool in_vain = turn->shown;
	bool found;

	turn->shown = false;
	if (!turn->calls->attached || !poll->ns)
		return false;
	(void)busy_poll_begin(poll, clock_monotonic_ns()); /* it pays, as ns says */
	do {
		found = !in_vain && busy_poll_slice(poll, turn_memory_shows_work, turn);
		turn->shown = found;
		in_vain = false;
		if (!found) {
			sched_yield();
			found = loop_turn(turn->loop, 0) > 0;
		}
	} while (!found && busy_poll_goes_on(poll, loop_now_ns(turn->loop)));
	busy_poll_end(poll, found);
	return found;
}

/*
 * Has the guest send events again, for requests and for all connections. Returns false if something
 * is there already, so that the engine must not sleep.
 */
static bool turn_await_events(struct turn *turn)
{
	struct calls *calls = turn->calls;
	struct transport *transport = turn->connections->transport;

	/* A ring that is left unread, until the trail has room, asks for no events. */
	if (!calls->starved && command_ring_final_check(&calls->ring))
		return false;
	if (calls->ring_masked)
		transport->ops->unmask(transport, calls->command_port);
	calls->ring_masked = false;
	polled_unmask_all(turn->connections);
	return transport->ops->may_sleep(transport);
}

/* Sleeps until the transport, a socket, a timer or the supervisor has something. */
static int turn_rest(struct turn *turn)
{
	struct transport *transport = turn->connections->transport;
	uint64_t slept_ns;
	int calls;

	turn->calls->slept = true;
	if (!turn->calls->attached)
		return loop_turn(turn->loop, LOOP_FOREVER);
	if (!turn_await_events(turn))
		return loop_turn(turn->loop, 0);
	slept_ns = clock_monotonic_ns();
	calls = loop_turn(turn->loop, LOOP_FOREVER);
	transport->ops->awake(transport);
	busy_poll_slept(&turn->poll, slept_ns, loop_now_ns(turn->loop));
	return calls;
}

/*
 * After a turn that did something: peers that it gave something to run first, then sockets are
 * asked. After a turn that only gave the guest something, it is the guest's memory that is looked
 * at instead, but not twice in a row.
 */
static int turn_go_on(struct turn *turn)
{
	bool queued = turn_has_queued(turn);

	turn->shown = false;
	turn->unasked = !queued && !turn->connections->peers_told && !turn->unasked;
	if (turn->unasked)
		return 0;
	if (!queued && turn->poll.ns)
		sched_yield();
	return loop_turn(turn->loop, 0);
}

int turn_wait(struct turn *turn, bool busy)
{
	int result = 0;

	if (busy)
		result = turn_go_on(turn);
	else if (!turn_poll(turn))
		result = turn_rest(turn);
	return result < 0 ? result : 0;
}
