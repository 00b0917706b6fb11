/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pending call: one request between its place in the ring and its response.
 *
 * What it works on stays what it is while it waits, because the call holds it: the socket that it
 * changes (guest_socket.holder), the name that an ACCEPT promises to the new socket (`reserved`),
 * the descriptor of a peer that was not let in yet (`peer_fd`). Other calls find a held socket
 * refused; RELEASE and the end of the guest cancel who holds it (serve.h).
 */
#ifndef ENGINE_CALLS_PENDING_CALL_H
#define ENGINE_CALLS_PENDING_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "base/meter.h"
#include "call/call.h"
#include "engine/calls/pending_list.h"

struct calls;
struct guest_socket;

#define PENDING_CALLS_BLOCK  COMMAND_SLOTS
#define PENDING_CALLS_BLOCKS (PARKED_MAX / PENDING_CALLS_BLOCK)

#define PENDING_CALL_NO_SLOT UINT32_MAX

struct pending_call {
	struct calls *calls;
	struct pending_call *next_free;
	struct pending_link place; /* in_slots, parked or untold of struct calls */
	struct pending_link wait;  /* at a listener, or draining or storing of struct calls */
	uint32_t number;           /* its place among the guest's pending calls */
	uint32_t ticket;           /* parked: its number, and a multiple of PARKED_MAX */
	bool in_use;
	bool is_parked;     /* has no slot of the command ring any more, see parking.h */
	bool awaits_commit; /* done; its answer waits until its record is on disk */
	bool expired;       /* its timer has */
	struct call call;
	struct pvcalls_call view; /* what plugins see of it */
	struct decision decision;
	uint64_t decision_ns;   /* that it took */
	uint64_t taken_ticks;   /* the processor's counter at call.taken_ns */
	struct meter *meter_in; /* references of the decision's meters */
	struct meter *meter_out;
	struct guest_socket *socket;   /* held, or waited on (ACCEPT, POLL); NULL: none */
	struct guest_socket *reserved; /* ACCEPT: the new socket, held; NULL: none */
	struct pvcalls_endpoint peer;  /* for the record */
	int peer_fd;                   /* ACCEPT: the peer's descriptor until it is let in; -1 */
	uint32_t spare_slot;           /* ACCEPT with a peer: for the record of its next one */
	uint64_t refused_turn;         /* ACCEPT: when it last was to take a peer, ... */
	uint32_t refused;              /* ... and how many it has refused in that turn */
	struct loop_timer timer;
	int result;            /* of a call that is done */
	uint32_t extra;        /* BIND, LISTEN: the bound port, for the response's padding */
	uint32_t close_reason; /* RELEASE: enum audit_close */
	uint64_t bytes_over;   /* RELEASE: see struct stream */
	bool cancelled;        /* ended before it was done */
};

/*
 * The table of a guest's pending calls. There are always as many free ones as the ring has slots
 * for more requests: it grows with those that are parked, up to PARKED_MAX.
 */
struct pending_table {
	struct pending_call *block[PENDING_CALLS_BLOCKS]; /* those that were needed so far */
	struct pending_call *free;
	uint32_t size;   /* calls in all blocks */
	uint32_t parked; /* calls that have no slot */
};

/* Makes the first block of a zeroed table. Returns 0 or -ENOMEM. */
int pending_calls_open(struct calls *calls);
/* Frees all pending calls of a guest at once, without a word to anybody. */
void pending_calls_reset(struct calls *calls);
/* Frees the table's memory. */
void pending_calls_close(struct calls *calls);
/* A pending call for a request that was just taken from the ring; there is always one free. */
struct pending_call *pending_call_new(struct calls *calls);
/* Gives one back that is done and holds nothing. */
void pending_call_free(struct pending_call *pending);
/* Has the table room for one more parked call; false: there is no memory, or no number. */
bool pending_calls_have_room(struct calls *calls);
/* The call with this number, in use or not; NULL: the table has none. */
struct pending_call *pending_call_at(const struct calls *calls, uint32_t number);
/* As pending_call_new(), for the call that had this number for another engine; NULL: no memory. */
struct pending_call *pending_call_restore(struct calls *calls, uint32_t number);

/*
 * Finds the socket that the call names and has the call hold it. Returns 0, or what the call is
 * answered: -EINVAL if there is none or another call is changing it, -EALREADY for a second
 * connect(2), -EBADF if it is being released.
 */
int pending_call_hold(struct pending_call *pending);
/* As pending_call_hold(), for a call that only waits at the socket, behind those that do. */
int pending_call_wait_at(struct pending_call *pending);
/* Has a call that waits at a socket be the last of those that do. */
void pending_call_requeue(struct pending_call *pending);
/* Lets go of what it holds, if it does. */
void pending_call_let_go(struct pending_call *pending);

/* The oldest call of an operation that waits in this state at a socket, or NULL. */
struct pending_call *pending_call_oldest(const struct guest_socket *socket, uint32_t op,
					 enum call_state state);
/* Has calls->call_expired called with the call after this time. Returns 0 or -ENOMEM. */
int pending_call_expire_after(struct pending_call *pending, uint64_t ns);

#endif
