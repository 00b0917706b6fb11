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

struct calls;
struct guest_socket;

#define PENDING_CALL_NO_SLOT UINT32_MAX

struct pending_call {
	struct calls *calls;
	struct pending_call *next_free;
	bool in_use;
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

/* Frees all pending calls of a guest at once, without a word to anybody. */
void pending_calls_init(struct calls *calls);
/* A pending call for a request that was just taken from the ring; there is always one free. */
struct pending_call *pending_call_new(struct calls *calls);
/* Gives one back that is done and holds nothing. */
void pending_call_free(struct pending_call *pending);
/* Its place among the guest's pending calls, from 0: what the recovery log knows it by. */
uint32_t pending_call_number(const struct pending_call *pending);

/*
 * Finds the socket that the call names and has the call hold it. Returns 0, or what the call is
 * answered: -EINVAL if there is none or another call is changing it, -EALREADY for a second
 * connect(2), -EBADF if it is being released.
 */
int pending_call_hold(struct pending_call *pending);
/* As pending_call_hold(), for a call that only waits at the socket. */
int pending_call_find(struct pending_call *pending);
/* Lets go of what it holds, if it does. */
void pending_call_let_go(struct pending_call *pending);

/* The oldest pending call of an operation that is in this state at a socket, or NULL. */
struct pending_call *pending_call_oldest(struct guest_socket *socket, uint32_t op,
					 enum call_state state);
/* Whether a pending call has to do with a socket: holds it, waits at it or has it reserved. */
bool pending_call_concerns(const struct pending_call *pending, const struct guest_socket *socket);

/* Has calls->call_expired called with the call after this time. Returns 0 or -ENOMEM. */
int pending_call_expire_after(struct pending_call *pending, uint64_t ns);

#endif
