/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine of one guest: its rings, its sockets, its policy, its queue to the trail.
 *
 * Theory of operation. One thread, one loop. Each turn (turn.c) asks the transport for events,
 * serves the command ring (serve.c) and moves bytes of streams (connection.c), each within a
 * budget, then shows the guest its responses and wakes the writer of the trail. It looks a little
 * longer before it sleeps, if looking has paid lately.
 *
 * A call goes through serve.c: take, decode, decide, record, execute, finish. What can't be
 * finished at once waits as a flight (flight.h) and re-enters at flight_finish(). There are as many
 * flights as the command ring has slots, so what waits is bounded by the ring itself.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <sched.h>

#include "audit/queue/audit_queue.h"
#include "base/log.h"
#include "base/loop.h"
#include "engine/flight.h"
#include "engine/limits.h"
#include "engine/look.h"
#include "engine/parking.h"
#include "engine/priority.h"
#include "ipc/engine_message.h"
#include "ipc/recovery_log.h"
#include "policy/host_view/host_view.h"
#include "policy/plugin_host/plugin_registry.h"
#include "policy/policy.h"
#include "ring/command_ring.h"
#include "sock/linger.h"
#include "sock/table.h"
#include "transport/transport.h"

struct connection;

struct engine {
	struct log log;
	struct loop *loop;
	struct pvcalls_guest guest;
	struct engine_start_args start;

	int control; /* socket to the supervisor */
	struct loop_source control_source;
	bool supervised; /* false once the supervisor is gone */
	bool stop;       /* leave the main loop */

	struct plugin_registry *plugins;
	struct host_view *host;
	struct policy *policy;

	struct audit_queue *queue;
	int doorbell; /* rung by the writer */
	struct loop_source doorbell_source;
	bool starved; /* no audit slot was free: the ring is left unread */

	struct transport *transport;
	struct loop_source bell_source;
	bool attached;
	bool cancel;     /* ACCEPTs in flight on a released listener are answered */
	bool reuse;      /* RELEASE's `reuse` means what it says */
	bool names;      /* the frontend reads struct wire_names */
	bool half_close; /* it may set out_end of struct indexes_page */
	struct command_ring ring;
	uint32_t command_port;
	struct recovery_log recovery_log;
	int recovery_log_fd; /* -1: none */
	bool ring_due;       /* the command ring may hold requests */
	bool ring_masked;    /* its event is masked */
	bool respond_due;    /* responses were pushed */
	char broken[160];    /* why the guest must be cut off; empty: it need not */
	uint64_t serial;
	struct flight flights[COMMAND_SLOTS];
	struct flight *free_flights;
	struct socket_table *sockets;
	struct linger_list *lingers;
	struct connection *by_port[TRANSPORT_PORTS];
	struct connection *run_first; /* connections with work, served round robin */
	struct connection *run_last;
	struct connection *fresh_first; /* connections that are not settled yet, oldest first */
	struct connection *fresh_last;
	struct connection *warm[ENGINE_WARM_MAX]; /* see connection.h */
	uint32_t warm_count;
	int closing[ENGINE_CLOSING_MAX]; /* descriptors that the turn's end closes */
	uint32_t closing_count;
	uint64_t turn; /* turns so far */
	struct parking parking;
	struct connection *spare;       /* freed connections, kept for the next */
	struct loop_timer accept_timer; /* no descriptor was free: try to accept again */
	struct engine_counters counters;
	struct look look; /* for work, before it sleeps */
	struct priority priority;
	cpu_set_t processors; /* where it may run */
	uint64_t bytes_moved; /* since it last looked where its guest runs; a call counts too */
};

/* Makes an engine with its loop; the rest comes with START. Returns NULL without memory. */
struct engine *engine_create(int control);
void engine_destroy(struct engine *engine);

/*
 * Everything that can be done without waiting: events, requests, streams, answers, the writer.
 * Returns whether anything was done.
 */
bool engine_turn(struct engine *engine);
/* Serves until the supervisor is gone or says so. Returns 0 or -errno. */
int engine_run(struct engine *engine);

/* Closes a descriptor at the turn's end, after the guest has its answers. */
void engine_close_later(struct engine *engine, int fd);
void engine_close_now(struct engine *engine);

/* The guest broke the protocol: nothing of it is served any more, the turn's end cuts it off. */
void engine_broken(struct engine *engine, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
