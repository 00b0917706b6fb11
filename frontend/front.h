/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the library share: the frontend, its sockets and its calls.
 *
 * A call waits in one of two queues until the command ring has a slot for it. ACCEPT and POLL may
 * stay unanswered for ever, so they queue apart and never get the last slots: a guest with many
 * listeners can still connect.
 */
#ifndef FRONTEND_FRONT_H
#define FRONTEND_FRONT_H

#include <pvcalls/frontend.h>

#include "command.h"
#include "ring.h"
#include "transport.h"

#define LONG_CALLS_MAX (COMMAND_SLOTS - 8) /* ACCEPT and POLL in flight */

struct front_call {
	struct front_call *next; /* in its queue, or the free list */
	struct pvcalls_front_socket *socket;
	struct pvcalls_front_socket *accepted; /* ACCEPT: what it will be */
	pvcalls_front_done done;
	void *context;
	struct wire_request request;
};

struct call_queue {
	struct front_call *first;
	struct front_call *last;
};

enum socket_state {
	SOCKET_NEW,
	SOCKET_CONNECTING,
	SOCKET_ACTIVE, /* connected or accepted: has a stream */
	SOCKET_FAILED,
	SOCKET_PASSIVE, /* bound or listening */
};

struct pvcalls_front_socket {
	struct pvcalls_front *front;
	struct pvcalls_front_socket *next; /* of all, or of the free ones */
	struct pvcalls_front_socket *previous;
	struct front_ring *ring; /* from connect or accept on */
	pvcalls_front_ready ready;
	void *owner;
	uint64_t id;
	enum socket_state state;
	uint32_t order;
	uint32_t calls;   /* queued or in flight */
	int broken;       /* -EPROTO after the backend broke its data ring */
	int socket_error; /* what SOCKET was answered */
	bool shut;        /* nothing more is written */
	bool announced;   /* SOCKET was queued */
	bool released;    /* gone for the caller */
	struct wire_names names;
};

struct pvcalls_front {
	struct front_transport *transport;
	enum pvcalls_front_transport kind;
	struct ring_pool pool;
	struct command_front command;
	uint32_t command_port;
	uint32_t max_order;
	bool names;      /* the backend tells addresses */
	bool half_close; /* it takes the end of what a socket writes */
	bool corked;     /* by the caller */
	bool dispatching;
	int error;
	uint32_t releasing;
	uint32_t in_flight_long;
	uint32_t tickets; /* counts calls: makes req_id differ from the slot's last one */
	struct front_call *in_flight[COMMAND_SLOTS];
	uint32_t in_flight_id[COMMAND_SLOTS];
	struct call_queue queue;
	struct call_queue long_queue;
	struct front_call *free_calls;
	struct call_block *call_blocks;
	struct pvcalls_front_socket *sockets;
	struct pvcalls_front_socket *free_sockets;
	uint64_t next_id;
	struct pvcalls_front_socket **by_port; /* FRONT_PORTS */
	int fd;                                /* epoll over the transport's descriptors */
	uint32_t dispatches;
	uint64_t store_seen_ns; /* when its directory was last looked at */
	uint64_t spin_ns;       /* how long to poll next time */
	uint64_t spin_max_ns;   /* 0: never */
	uint64_t spin_again_ns; /* not before this time */
};

/* Ends the frontend: every call is finished with error, every stream's watcher is called. */
void front_fail(struct pvcalls_front *front, int error);
/* Moves queued calls into the command ring and shows them, unless corked. */
void front_flush(struct pvcalls_front *front);
/* Takes all responses and finishes their calls; returns their number. */
int front_take_responses(struct pvcalls_front *front);
/* Frees all calls and sockets; the frontend's end. */
void front_free_sockets(struct pvcalls_front *front);
void front_free_calls(struct pvcalls_front *front);

#endif
