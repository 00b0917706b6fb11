/* SPDX-License-Identifier: GPL-2.0-or-later */
/* BIND and LISTEN: what makes a listener. */
#include <errno.h>
#include <sys/epoll.h>

#include "engine/calls/call_steps.h"
#include "engine/calls/calls.h"

/* Holds the socket if it is in this state; an error otherwise. */
static int call_bind_hold_in(struct pending_call *pending, enum socket_state state)
{
	int error = pending_call_hold(pending);

	if (error || pending->socket->state == state)
		return error;
	/* A BIND that failed is answered here: Linux' frontend does not look at its result. */
	error = pending->socket->state == SOCKET_REFUSED && state == SOCKET_BOUND
			? pending->socket->bind_error
			: -EINVAL;
	pending_call_let_go(pending);
	return error;
}

/* What the guest is told of the port that it got (feature-names). */
static void call_bind_tell_port(struct pending_call *pending)
{
	pending->view.local = pending->socket->local;
	if (pending->calls->connections->names)
		pending->extra = pending->socket->local.port;
}

static int call_bind_prepare(struct pending_call *pending)
{
	return call_bind_hold_in(pending, SOCKET_NEW);
}

static int call_bind_execute(struct pending_call *pending)
{
	int error = socket_bind(pending->socket, &pending->decision.effective,
				pending->decision.only_connects);

	if (!error)
		call_bind_tell_port(pending);
	return error;
}

static void call_bind_undo(struct pending_call *pending, int error)
{
	socket_refuse_bind(pending->socket, error);
}

const struct call_steps call_bind_steps = {
	.prepare = call_bind_prepare,
	.execute = call_bind_execute,
	.undo = call_bind_undo,
	.cancelled = -ECANCELED,
};

static int call_listen_prepare(struct pending_call *pending)
{
	int error = call_bind_hold_in(pending, SOCKET_BOUND);

	if (!error && pending->socket->only_connects)
		pending->view.flags = PVCALLS_CALL_BOUND_WITHOUT_RULE;
	return error;
}

/*
 * Watched before it listens: a listener that nobody watches would let peers in whom nobody serves,
 * and there is no way back from listen(2) but to close it. What epoll says of a socket that does
 * not listen yet (EPOLLHUP) it says when it is asked, which is after this turn's work.
 */
static int call_listen_execute(struct pending_call *pending)
{
	struct connections *connections = pending->calls->connections;
	struct guest_socket *socket = pending->socket;
	int error = loop_add(connections->loop, &socket->source, socket->fd, EPOLLIN | EPOLLET,
			     connections->socket_ready, socket);

	if (error)
		return error;
	error = socket_listen(socket, pending->call.backlog);
	if (error) {
		loop_remove(connections->loop, &socket->source);
		return error;
	}
	/* A port of 0 got its number when it was bound or only now. */
	socket_read_local(socket);
	call_bind_tell_port(pending);
	return 0;
}

const struct call_steps call_listen_steps = {
	.prepare = call_listen_prepare,
	.execute = call_listen_execute,
	.cancelled = -ECANCELED,
};
