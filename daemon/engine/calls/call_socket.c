/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SOCKET: a name for a socket; the descriptor comes with BIND or CONNECT. */
#include <errno.h>

#include "engine/calls/call_steps.h"
#include "engine/calls/calls.h"

/* The socket is made here, so that the policy already knows its number. */
static int call_socket_prepare(struct pending_call *pending)
{
	struct calls *calls = pending->calls;
	struct guest_socket *socket;
	int error =
		socket_table_add(calls->sockets, pending->call.id, pending->call.taken_ns, &socket);

	if (error)
		return error;
	socket->holder = pending;
	pending->socket = socket;
	pending->view.socket = socket->number;
	return 0;
}

static int call_socket_execute(struct pending_call *pending)
{
	(void)pending;
	return 0;
}

static void call_socket_undo(struct pending_call *pending, int error)
{
	struct guest_socket *socket = pending->socket;

	(void)error;
	pending_call_let_go(pending);
	socket_table_remove(pending->calls->sockets, socket);
}

const struct call_steps call_socket_steps = {
	.prepare = call_socket_prepare,
	.execute = call_socket_execute,
	.undo = call_socket_undo,
	.cancelled = -ECANCELED,
};
