/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A connection: the engine's part of a guest's stream. It holds the mapped pages and the bound
 * event channel, and a place in the run queue while there is work.
 *
 * Its port is masked from the event on. A connection that has done its work stays so for a while
 * and is "warm": the next work is found by a look at the shared indexes, each turn, which costs the
 * guest and us no event. It cools when it finds none for some turns, or when the engine is about to
 * sleep. A guest that storms events costs one pass at a time.
 */
#ifndef ENGINE_CONNECTION_H
#define ENGINE_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "ring/layout.h"

struct engine;
struct flight;
struct guest_socket;

struct connection {
	struct engine *engine;
	struct guest_socket *socket;
	struct connection *next; /* in the run queue, among the spare ones, or parked */
	struct connection *next_fresh;
	struct loop_timer wake; /* a meter has bytes again */
	struct indexes_page *indexes;
	void *data;
	uint32_t pages; /* of data */
	uint32_t order;
	uint32_t port;
	uint32_t ref;    /* of the indexes page */
	uint32_t evtchn; /* the guest's end of port */
	uint32_t *refs;  /* of data, if it may be parked */
	uint64_t parked_ns;
	uint32_t recovery_place;
	bool queued;
	bool masked;
	uint32_t warm;       /* 1 + place among the warm ones; 0: it is none */
	uint64_t warm_turn;  /* the engine's turn in which it last had work */
	bool fresh;          /* not settled yet */
	uint64_t fresh_turn; /* the engine's turn in which it was started */
};

/*
 * Maps the pages named by ref and binds evtchn: all or nothing. Returns 0 and *mapped (not yet
 * started), or -errno.
 */
int connection_map(struct engine *engine, uint32_t ref, uint32_t evtchn,
		   struct connection **mapped);
/* Unmaps, unbinds and frees. */
void connection_unmap(struct connection *connection);
/* Its socket is released; reuse: the guest means to bring the same pages again. */
void connection_release(struct connection *connection, bool reuse);
/* Unmaps what was kept for reuse. */
void connections_unpark(struct engine *engine);
/* Unmaps what was kept for reuse and not brought for long; to be called now and then. */
void connections_sweep(struct engine *engine);

/* Joins a mapped connection to its socket, which is connected, with the meters of the decision. */
void connection_start(struct connection *connection, struct guest_socket *socket,
		      const struct flight *flight);
/*
 * Settles connections that were started `age` turns ago or earlier: sets the socket's options and
 * watches it. Many connections end before that is worth its system calls, so it is put off until
 * the guest writes, the engine has nothing else to do, or some turns have passed.
 */
void connections_settle(struct engine *engine, uint64_t age);
/* Puts it into the run queue, at the end, unless it is in it. */
void connection_queue(struct connection *connection);
/* The guest rang its port. */
void connection_rung(struct connection *connection);
/* Queues warm connections that have work, and cools those that had none for long. */
void connections_look(struct engine *engine);
/* Whether a warm connection has work. */
bool connections_have_work(const struct engine *engine);
/* Unmasks all warm connections: from here on only events tell of work. */
void connections_cool(struct engine *engine);
/* Runs every connection that was queued before this call once. Returns whether bytes moved. */
bool connections_run(struct engine *engine);

#endif
