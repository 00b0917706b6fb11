/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/calls/disposal.h"

#include "base/assert.h"
#include "base/fd.h"
#include "engine/calls/calls.h"
#include "engine/calls/due_listeners.h"
#include "engine/connections/connection.h"

static void disposal_empty_socket(struct calls *calls, struct guest_socket *socket, bool reuse)
{
	ASSERT(!socket->holder && socket->state != SOCKET_RESERVED);
	ASSERT(!socket->waiting);
	due_listeners_remove(calls, socket);
	loop_forget(calls->loop, &socket->source);
	if (socket->connection)
		connection_release(socket->connection, reuse);
	socket->connection = NULL;
	if (socket->state == SOCKET_STREAM) {
		calls->counters.bytes_in += socket->stream.bytes_in;
		calls->counters.bytes_out += socket->stream.bytes_out;
		stream_stop(&socket->stream);
		if (socket->fd >= 0)
			deferred_close_add(&calls->closing, socket->fd);
		socket->fd = -1;
	} else {
		/* At once: the next request may bind to the same address. */
		fd_close(&socket->fd);
	}
}

void disposal_free_socket(struct calls *calls, struct guest_socket *socket, bool reuse)
{
	disposal_empty_socket(calls, socket, reuse);
	socket_table_remove(calls->sockets, socket);
}

void disposal_leave_name(struct calls *calls, struct guest_socket *socket)
{
	disposal_empty_socket(calls, socket, false);
	socket_leave_name(socket);
}
