/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A turn of the engine, and what it does until the next.
 *
 * Theory of operation. One thread, one loop. A turn asks the transport for events, serves the
 * command ring (calls/serve.h) and moves bytes of streams (connections/run_queue.h), each within a
 * budget, then shows the guest its responses and wakes the writer of the trail. Before the engine
 * sleeps it polls a little longer for work, if that has paid lately (base/busy_poll.h).
 *
 * The clock is read once in each turn of the loop, when it has events (loop_now_ns()). Whoever
 * needs the time within a turn takes this, and the time of day is reckoned from it
 * (base/wall_clock.h). Before the engine polls or sleeps the clock is read once more: the turn's
 * work is no part of the wait.
 */
#ifndef ENGINE_SCHEDULING_TURN_H
#define ENGINE_SCHEDULING_TURN_H

#include <stdbool.h>

#include "base/busy_poll.h"
#include "base/wall_clock.h"
#include "engine/calls/calls.h"
#include "engine/connections/connections.h"
#include "engine/scheduling/affinity.h"
#include "engine/scheduling/priority.h"
#include "engine/scheduling/slots_watch.h"

#define TURN_POLL_NS_MIN 50000u   /* the longest time to poll before sleeping, at least */
#define TURN_POLL_NS_MAX 1000000u /* and at most */

/* Zeroed, then turn_init(); wall_clock_open(), priority_init() and busy_poll_calibrate() before the
 * main loop. */
struct turn {
	struct loop *loop;
	struct connections *connections;
	struct calls *calls;
	struct wall_clock wall_clock; /* that calls are dated by */
	struct busy_poll poll;
	bool unasked; /* sockets were not asked after the last turn */
	bool shown;   /* memory showed work, and no turn has done any since */
	struct priority priority;
	struct affinity affinity;
	struct slots_watch slots_watch;
};

/* A turn over these calls and connections, which are borrowed. */
void turn_init(struct turn *turn, struct loop *loop, struct connections *connections,
	       struct calls *calls);
/*
 * Everything that can be done without waiting: events, requests, streams, answers, the writer.
 * Returns whether anything was done. A guest that broke the protocol is left to the caller, see
 * protocol_violation.h.
 */
bool turn_work(struct turn *turn);
/*
 * What comes between two turns: sockets, timers and the supervisor's messages after a busy one, a
 * while of polling after an idle one, and sleep if there is none. Returns 0 or -errno.
 */
int turn_wait(struct turn *turn, bool busy);

#endif
