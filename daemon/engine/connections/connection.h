/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A connection: the engine's part of a guest's stream. It holds the mapped pages and the bound
 * event channel, and a place in the run queue while there is work.
 */
#ifndef ENGINE_CONNECTIONS_CONNECTION_H
#define ENGINE_CONNECTIONS_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "ring/layout.h"

struct connections;
struct guest_socket;
struct meter;

struct connection {
	struct connections *all;
	struct guest_socket *socket; /* NULL: not started, or in the mapping cache */
	struct connection *next;     /* in the run queue, among the spare ones, or in the cache */
	struct connection *previous_unsettled;
	struct connection *next_unsettled;
	struct loop_timer wake; /* a meter has bytes again */
	struct indexes_page *indexes;
	void *data;
	uint32_t pages; /* of data */
	uint32_t order;
	uint32_t port;   /* ours; 0: not bound */
	uint32_t ref;    /* of the indexes page */
	uint32_t evtchn; /* the guest's end of port */
	uint32_t *refs;  /* of data, if it may be kept in the mapping cache */
	uint64_t kept_ns;
	uint32_t recovery_place;
	bool queued;
	bool masked;
	uint32_t polled;      /* 1 + place among the polled ones; 0: it is none */
	uint64_t polled_turn; /* the turn in which it last had work */
	bool unsettled;
	bool local_untold;   /* the guest may ask for the socket's own address, see local_name.h */
	uint64_t moved_turn; /* the turn in which bytes or an end last moved */
};

/*
 * Maps the pages named by ref and binds evtchn: all or nothing. Returns 0 and *mapped (not yet
 * started), or -errno: -EINVAL for pages that are not the guest's or a ring order that is none.
 */
int connection_map(struct connections *connections, uint32_t ref, uint32_t evtchn,
		   struct connection **mapped);
/* Unmaps, unbinds and frees. */
void connection_unmap(struct connection *connection);
/*
 * Its socket is released: unmaps it, or keeps it in the mapping cache if `reuse` says that the
 * guest means to bring the same pages again.
 */
void connection_release(struct connection *connection, bool reuse);

/*
 * Joins a mapped connection to its socket, whose descriptor is connected: the socket becomes
 * SOCKET_STREAM and is watched, if it is not yet. Takes a reference of each meter (may be NULL) of
 * its own. Returns 0, or -errno of epoll_ctl(2) with nothing changed.
 */
int connection_start(struct connection *connection, struct guest_socket *socket,
		     struct meter *meter_in, struct meter *meter_out);
/* Ends both directions with a negative errno and tells the guest. */
void connection_abort(struct connection *connection, int error);

/* The socket of a started connection has these events of epoll_ctl(2). */
void connection_event(struct connection *connection, uint32_t events);
/* The guest has sent an event to its port. */
void connection_notified(struct connection *connection);

/* Watches a socket for what a stream waits for. Returns 0 or -errno of epoll_ctl(2). */
int connection_watch(struct connections *connections, struct guest_socket *socket);

#endif
