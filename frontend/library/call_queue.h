/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pending calls: made, queued, pushed into the command ring, matched with their response.
 *
 * A call waits in one of three lists until the command ring has a slot for it, by how long the
 * answer may take. Most calls end at once. A CONNECT may take as long as the network, ACCEPT and
 * POLL may stay unanswered for ever; nothing that is in flight can be taken back. So those get
 * shares of the slots, and some slots are kept for what ends at once: sockets are bound and closed
 * whatever the others wait for. A listener's second ACCEPT is luck: it gets a slot only while few
 * are taken, so that the first ones of other listeners find theirs. If there are more listeners
 * than slots they take turns: whoever got a connection is behind those that have none in flight.
 *
 * A backend with feature-park answers calls that wait when many slots are taken: they are parked
 * here under the ticket that it gave them, have no slot any more, and nothing needs a share. Their
 * outcomes are the answers to COLLECTs, of which some are in flight while calls are parked.
 */
#ifndef LIBRARY_CALL_QUEUE_H
#define LIBRARY_CALL_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include <pvcalls/frontend.h>

#include "library/command_front.h"

#define CALLS_LONG_MAX    24u /* CONNECT, ACCEPT and POLL in flight */
#define CALLS_CONNECT_MAX 20u /* of these, CONNECT */
#define CALLS_ACCEPT_MAX  20u /* and ACCEPT and POLL */
#define CALLS_SPARE_MAX   4u  /* ACCEPT in flight beside which a listener gets another one */

#define CALLS_COLLECTS_MAX 4u /* COLLECTs in flight */

enum call_wait { CALL_WAIT_NONE, CALL_WAIT_NETWORK, CALL_WAIT_PEER, CALL_WAITS_COUNT };

struct front_call {
	struct front_call *next; /* in its list */
	struct pvcalls_front_socket *socket;
	struct pvcalls_front_socket *accepted; /* ACCEPT: what it will be */
	pvcalls_front_done done;               /* NULL: nobody wants to know */
	void *context;
	uint32_t ticket; /* of a parked one */
	struct wire_request request;
};

struct call_list {
	struct front_call *first;
	struct front_call *last;
};

/*
 * A call has its outcome. Updates what it is about, tells the caller, and gives the call back with
 * call_queue_free_call().
 */
typedef void (*call_settle)(struct front_call *call, const struct wire_response *response);

struct call_queue {
	struct command_front ring;
	call_settle settle;
	struct call_list lists[CALL_WAITS_COUNT];
	struct front_call *in_flight[COMMAND_SLOTS];
	uint32_t in_flight_id[COMMAND_SLOTS];
	uint32_t waiting[CALL_WAITS_COUNT]; /* in flight */
	bool parks;                         /* the backend does */
	struct front_call **parked;         /* by their tickets modulo PARKED_MAX */
	uint32_t parked_size;
	uint32_t parked_count;
	struct front_call collect; /* what is in flight for each COLLECT */
	uint32_t collects;
	uint32_t tickets; /* counts calls: makes req_id differ from the slot's last one */
	bool failed;
	struct front_call *free;
	struct call_block *blocks;
};

/* A call of the socket with command and id filled in; NULL: no memory. Add it or free it. */
struct front_call *call_queue_new_call(struct call_queue *queue,
				       struct pvcalls_front_socket *socket, uint32_t cmd,
				       pvcalls_front_done done, void *context);
void call_queue_free_call(struct call_queue *queue, struct front_call *call);
/* Takes a call over; it goes out with the next call_queue_push(). */
void call_queue_add(struct call_queue *queue, struct front_call *call);
/* Moves calls into the command ring as far as there is room, and shows them to the backend. Returns
 * whether it wants an event for them. */
bool call_queue_push(struct call_queue *queue);
/*
 * Takes all responses and settles their calls. Returns their number, or -EPROTO: the backend
 * answered what nobody asked. It ends early if settling a call made the queue fail.
 */
int call_queue_take(struct call_queue *queue);
/* Calls with this context settle unseen; what they accept is released. */
void call_queue_forget(struct call_queue *queue, const void *context);
/* Settles every call with error; no response is taken any more. */
void call_queue_fail(struct call_queue *queue, int error);
/* Frees all calls without settling them: the frontend's end. */
void call_queue_free(struct call_queue *queue);

#endif
