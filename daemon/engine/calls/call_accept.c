/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACCEPT and POLL: what waits at a listener.
 *
 * An ACCEPT is only a wish; what host rules and chain decide about is the peer, so it waits,
 * prepared, until one comes, and is dated then. A peer that is refused is reset and recorded as a
 * call of its own, and the request goes on waiting. Several requests may wait at one listener; the
 * oldest gets the first connection. However many peers come, no more than CALLS_PEERS_PER_TURN of
 * them are taken before the rest of the guest gets its turn, and of these each request refuses no
 * more than CALLS_REFUSED_PER_TURN; listeners that have some left go on one after the other.
 */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "engine/calls/call_record.h"
#include "engine/calls/call_steps.h"
#include "engine/calls/calls.h"
#include "engine/calls/due_listeners.h"
#include "engine/connections/connection.h"
#include "policy/chain.h"
#include "policy/match/address.h"

/* No descriptor or memory for another connection: it stays in the kernel's backlog so long. */
#define ACCEPT_RETRY_NS (100 * NS_PER_MS)

static int call_accept_find_listener(struct pending_call *pending)
{
	int error = pending_call_wait_at(pending);

	if (!error && pending->socket->state != SOCKET_LISTENING) {
		pending_call_let_go(pending);
		error = -EINVAL;
	}
	return error;
}

/* The new socket's name is reserved: no other call can take it while this one waits. */
static int call_accept_prepare(struct pending_call *pending)
{
	struct calls *calls = pending->calls;
	int error = call_accept_find_listener(pending);

	if (error)
		return error;
	pending->view.parent = pending->socket->number;
	pending->view.socket = 0;
	error = socket_table_add(calls->sockets, pending->call.id_new, pending->call.taken_ns,
				 &pending->reserved);
	if (error) {
		pending->reserved = NULL;
		pending_call_let_go(pending);
		return error;
	}
	socket_reserve(pending->reserved);
	pending->reserved->parent = pending->socket->number;
	pending->reserved->holder = pending;
	return 0;
}

/* An error of accept(2) that is of a connection which died in the backlog, or of a signal. */
static bool call_accept_is_passing(int error)
{
	switch (error) {
	case -ECONNABORTED:
	case -EINTR:
	case -EPROTO:
	case -ENOPROTOOPT:
	case -EOPNOTSUPP:
	case -ENONET:
	case -ENETDOWN:
	case -ENETUNREACH:
	case -EHOSTDOWN:
	case -EHOSTUNREACH:
		return true;
	default:
		return false;
	}
}

/*
 * Takes a peer out of the backlog. Returns 0, CALL_WAITS if there is none or no room for it now, or
 * -errno: nobody will ever come to this listener, which was destroyed under us (ss -K).
 */
static int call_accept_take_peer(struct pending_call *pending)
{
	struct calls *calls = pending->calls;
	int fd;

	do {
		fd = socket_accept(pending->socket, &pending->peer);
	} while (call_accept_is_passing(fd));
	pending->peer_fd = fd < 0 ? -1 : fd;
	switch (fd) {
	case -EAGAIN:
		return CALL_WAITS;
	case -EMFILE:
	case -ENFILE:
	case -ENOBUFS:
	case -ENOMEM:
		/* Without memory for the timer either, it tries in each turn. */
		if (loop_arm(calls->loop, &calls->accept_timer,
			     loop_now_ns(calls->loop) + ACCEPT_RETRY_NS, calls->accept_retry,
			     calls) < 0)
			due_listeners_add(calls, pending->socket);
		return CALL_WAITS;
	default:
		return fd < 0 ? fd : 0;
	}
}

/* Whether as many peers were taken in this turn, or refused by this call, as may be. */
static bool call_accept_is_sated(struct pending_call *pending)
{
	struct calls *calls = pending->calls;
	uint64_t turn = calls->connections->turn;

	if (calls->peers_turn != turn) {
		calls->peers_turn = turn;
		calls->peers = 0;
	}
	if (pending->refused_turn != turn) {
		pending->refused_turn = turn;
		pending->refused = 0;
	}
	return calls->peers >= CALLS_PEERS_PER_TURN || pending->refused >= CALLS_REFUSED_PER_TURN;
}

/*
 * Where the peer of a listener at 0.0.0.0 came. Where rules look at that, they are to see it; and
 * 0.0.0.0 does not stand for loopback: who comes there is told to the host rules. The kernel is not
 * asked if it matters to nobody; only peers that may be on this host can have come to loopback.
 */
static void call_accept_note_local(struct pending_call *pending)
{
	const struct policy *policy = pending->calls->policy;
	bool wanted = policy_wants_local(policy);
	struct pvcalls_endpoint local;

	if (!socket_is_bound_to_all(pending->socket) ||
	    (!wanted && !policy_may_be_host(policy, &pending->peer)))
		return;
	if (socket_local_of(pending->peer_fd, &local) == 0 &&
	    (wanted || address_is_loopback(&local)))
		pending->view.local = local;
}

/*
 * The oldest goes first. A peer is taken only if the trail has room for a record of its own, beside
 * the one that this call will have in the end whatever comes.
 */
static int call_accept_await(struct pending_call *pending)
{
	struct calls *calls = pending->calls;
	int result;

	ASSERT(pending->spare_slot == PENDING_CALL_NO_SLOT && pending->peer_fd < 0);
	if (pending_call_oldest(pending->socket, PVCALLS_OP_ACCEPT, CALL_PREPARED) != pending)
		return CALL_WAITS;
	if (call_accept_is_sated(pending)) {
		due_listeners_add(calls, pending->socket);
		return CALL_WAITS;
	}
	if (!call_record_take_slot(calls, &pending->spare_slot))
		return CALL_WAITS;
	result = call_accept_take_peer(pending);
	if (result) {
		audit_queue_untake(calls->queue, pending->spare_slot);
		pending->spare_slot = PENDING_CALL_NO_SLOT;
		return result;
	}
	calls->peers++;
	pending->call.requested = pending->peer;
	pending->view.socket = pending->reserved->number;
	call_accept_note_local(pending);
	call_record_stamp(pending);
	pending->reserved->created_ns = pending->call.taken_ns;
	return 0;
}

/* The record of the refused peer is complete; the request itself is a call never decided. */
static void call_accept_refused(struct pending_call *pending)
{
	pending->refused++;
	socket_reset(pending->peer_fd);
	pending->peer_fd = -1;
	memset(&pending->peer, 0, sizeof(pending->peer));
	memset(&pending->call.requested, 0, sizeof(pending->call.requested));
	socket_table_renumber(pending->calls->sockets, pending->reserved);
	pending->call.slot = pending->spare_slot;
	pending->spare_slot = PENDING_CALL_NO_SLOT;
	call_record_number(pending);
	pending_call_requeue(pending);
	pending->view.parent = pending->socket->number;
	pending->view.local = pending->socket->local;
}

/* The peer is let in: serves its connection as the new socket. */
static int call_accept_execute(struct pending_call *pending)
{
	struct guest_socket *socket = pending->reserved;
	int error = connection_map(pending->calls->connections, pending->call.ref,
				   pending->call.evtchn, &socket->connection);

	if (error)
		return error;
	socket_give(socket, pending->peer_fd, &pending->peer);
	pending->peer_fd = -1;
	if (!socket_is_bound_to_all(pending->socket))
		socket->local = pending->socket->local;
	error = connection_start(socket->connection, socket, pending->meter_in, pending->meter_out);
	/* Until its own is known, what the row has is its listener's. */
	if (!error && socket->local.family)
		pending->view.local = socket->local;
	return error;
}

static void call_accept_undo(struct pending_call *pending, int error)
{
	struct guest_socket *socket = pending->reserved;

	(void)error;
	if (pending->peer_fd >= 0)
		socket_reset(pending->peer_fd);
	pending->peer_fd = -1;
	if (socket->connection)
		connection_unmap(socket->connection);
	socket->connection = NULL;
	if (socket->fd >= 0)
		socket_reset(socket->fd);
	socket->fd = -1;
	pending_call_let_go(pending);
	socket_table_remove(pending->calls->sockets, socket);
}

const struct call_steps call_accept_steps = {
	.prepare = call_accept_prepare,
	.await = call_accept_await,
	.refused = call_accept_refused,
	.execute = call_accept_execute,
	.undo = call_accept_undo,
	.cancelled = -ECANCELED,
};

/* A POLL on what is not listening is answered at once, whatever the guest takes the answer for. */
static int call_poll_prepare(struct pending_call *pending)
{
	return call_accept_find_listener(pending);
}

static int call_poll_execute(struct pending_call *pending)
{
	return socket_has_waiting(pending->socket) ? 0 : CALL_WAITS;
}

static int call_poll_resume(struct pending_call *pending, uint32_t events)
{
	(void)pending;
	(void)events;
	return 0;
}

const struct call_steps call_poll_steps = {
	.prepare = call_poll_prepare,
	.execute = call_poll_execute,
	.resume = call_poll_resume,
	.cancelled = 0,
};
