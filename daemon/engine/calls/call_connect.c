/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CONNECT: never waits in the ring; the network's answer ends the call. */
#include <errno.h>
#include <sys/epoll.h>

#include "base/assert.h"
#include "engine/calls/call_steps.h"
#include "engine/calls/calls.h"
#include "engine/connections/connection.h"

static int call_connect_state_error(const struct guest_socket *socket)
{
	switch (socket->state) {
	case SOCKET_NEW:
	case SOCKET_BOUND:
		return 0;
	case SOCKET_CONNECTING:
		return -EALREADY;
	case SOCKET_STREAM:
		return -EISCONN;
	case SOCKET_REFUSED:
		return socket->bind_error;
	case SOCKET_RESERVED:
	case SOCKET_LISTENING:
	case SOCKET_KILLED:
		break;
	}
	return -EINVAL;
}

static int call_connect_prepare(struct pending_call *pending)
{
	int error = pending_call_hold(pending);

	if (error)
		return error;
	error = call_connect_state_error(pending->socket);
	if (error)
		pending_call_let_go(pending);
	return error;
}

/* The connection is there: joins it to its pages. */
static int call_connect_finish(struct pending_call *pending)
{
	struct guest_socket *socket = pending->socket;
	int error;

	/* The kernel narrows what was bound to all addresses. */
	if (socket->local.family)
		socket_read_local(socket);
	error = connection_start(socket->connection, socket, pending->meter_in, pending->meter_out);
	if (error)
		return error;
	pending->view.local = socket->local;
	pending->peer = socket->peer;
	pending->calls->connections->traffic.connects++;
	return 0;
}

static int call_connect_execute(struct pending_call *pending)
{
	struct calls *calls = pending->calls;
	struct guest_socket *socket = pending->socket;
	int result = connection_map(calls->connections, pending->call.ref, pending->call.evtchn,
				    &socket->connection);

	if (result)
		return result;
	result = socket_connect(socket, &pending->decision.effective);
	if (!result)
		return call_connect_finish(pending);
	if (result != -EINPROGRESS)
		return result;
	result = connection_watch(calls->connections, socket);
	if (!result)
		result = pending_call_expire_after(pending, CALLS_CONNECT_NS);
	return result ? result : CALL_WAITS;
}

static int call_connect_resume(struct pending_call *pending, uint32_t events)
{
	int error;

	if (pending->expired)
		return -ETIMEDOUT;
	ASSERT(pending->socket->state == SOCKET_CONNECTING);
	/*
	 * Writable and nothing else is a connection; the kernel tells an error or an end as well. A
	 * peer that let us in and had reset the connection before we looked fails the call, as it
	 * fails a connect(2) of Linux, blocking or not, that wakes too late.
	 */
	error = (events & (EPOLLERR | EPOLLHUP)) ? socket_connect_result(pending->socket) : 0;
	return error ? error : call_connect_finish(pending);
}

/* Back to a socket that may connect again, if connecting was begun. */
static void call_connect_undo(struct pending_call *pending, int error)
{
	struct guest_socket *socket = pending->socket;

	(void)error;
	if (!socket->connection)
		return;
	loop_forget(pending->calls->loop, &socket->source);
	connection_unmap(socket->connection);
	socket->connection = NULL;
	socket_disconnect(socket);
}

const struct call_steps call_connect_steps = {
	.prepare = call_connect_prepare,
	.execute = call_connect_execute,
	.resume = call_connect_resume,
	.undo = call_connect_undo,
	.cancelled = -ECONNABORTED,
};
