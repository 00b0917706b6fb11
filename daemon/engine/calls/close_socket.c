/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/calls/close_socket.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "engine/calls/call_decision.h"
#include "engine/calls/call_record.h"
#include "engine/calls/calls.h"
#include "engine/calls/disposal.h"
#include "engine/calls/serve.h"
#include "engine/connections/connection.h"
#include "ipc/audit_record.h"

static struct closed_socket closed_socket_describe(const struct guest_socket *socket,
						   uint32_t reason)
{
	struct closed_socket closed = {
		.number = socket->number,
		.parent = socket->parent,
		.local = socket->local,
		.peer = socket->peer,
		.age_ns = loop_now_ns(calls_of(socket)->loop) - socket->created_ns,
		.reason = reason,
	};

	if (socket->state == SOCKET_STREAM) {
		closed.bytes_in = socket->stream.bytes_in;
		closed.bytes_out = socket->stream.bytes_out;
		closed.bytes_over = socket->stream.bytes_over;
	}
	return closed;
}

/* Whether a socket goes with the call that holds it, whose record tells of that. */
static bool closed_socket_goes_with_its_holder(const struct guest_socket *socket)
{
	return socket->holder &&
	       (socket->state == SOCKET_RESERVED || socket->holder->call.op == PVCALLS_OP_SOCKET ||
		socket->holder->call.op == PVCALLS_OP_RELEASE);
}

/* As close_socket(), but the descriptor is closed by deferred_close_now(). The socket is left for
 * disposal. */
static bool closed_socket_end(struct calls *calls, struct guest_socket *socket, uint32_t reason,
			      struct closed_socket *closed)
{
	bool goes = closed_socket_goes_with_its_holder(socket);

	ASSERT(reason != AUDIT_CLOSE_NONE && socket->state != SOCKET_KILLED);
	serve_cancel(calls, socket, reason);
	if (goes)
		return false;
	/* The rings of a guest of Xen outlive us: whoever waits at one must not wait for ever. */
	if (socket->state == SOCKET_STREAM)
		connection_abort(socket->connection, -ECONNRESET);
	*closed = closed_socket_describe(socket, reason);
	return true;
}

bool close_socket(struct calls *calls, struct guest_socket *socket, uint32_t reason,
		  struct closed_socket *closed)
{
	bool left = closed_socket_end(calls, socket, reason, closed);

	if (left)
		disposal_leave_name(calls, socket);
	/* The peer sees the end at once; and the loop, which was not told, must not ask for events
	 * of it. */
	deferred_close_now(&calls->closing);
	return left;
}

/* Returns 0 or -ENOMEM. */
static int closed_socket_record(struct calls *calls, const struct closed_socket *closed)
{
	struct pending_call pending = {.calls = calls, .close_reason = closed->reason};

	serve_reap(calls);
	if (!audit_queue_take_kept(calls->queue, &pending.call.slot))
		return -ENOMEM;
	pending.call.op = PVCALLS_OP_RELEASE;
	call_record_number(&pending);
	pending.view.socket = closed->number;
	pending.view.parent = closed->parent;
	pending.view.local = closed->local;
	pending.view.bytes_in = closed->bytes_in;
	pending.view.bytes_out = closed->bytes_out;
	pending.view.age_ns = closed->age_ns;
	pending.bytes_over = closed->bytes_over;
	pending.peer = closed->peer;
	call_decide(&pending);
	call_record_outcome(&pending, 0);
	return 0;
}

void closed_sockets_record(struct calls *calls, const struct closed_socket *closed, size_t count)
{
	uint32_t kept = audit_queue_kept(calls->queue);
	uint32_t lost = 0;
	size_t i;

	ASSERT(closed || !count);
	for (i = 0; i < count; i++)
		lost += closed_socket_record(calls, &closed[i]) < 0;
	if (lost)
		log_error(calls->log, "%u sockets were closed without a release record: no memory",
			  lost);
	if (audit_queue_kept(calls->queue) > kept)
		log_warning(calls->log,
			    "the writer of the trail takes no rows: those of %u sockets that were "
			    "closed wait in memory",
			    audit_queue_kept(calls->queue));
	serve_kept(calls);
	audit_queue_flush(calls->queue, true);
}

/* A walk over all sockets that closes them. */
struct closing {
	struct calls *calls;
	uint32_t reason;
	struct closed_socket *closed; /* NULL: there was no memory to remember them till the end */
	size_t count;
};

static void closing_visit(void *owner, struct guest_socket *socket)
{
	struct closing *closing = owner;
	struct closed_socket closed;

	/* Every call was ended, and what goes with its call is gone. */
	ASSERT(!socket->holder);
	if (socket->state == SOCKET_KILLED) {
		socket_table_remove(closing->calls->sockets, socket);
		return;
	}
	if (!closed_socket_end(closing->calls, socket, closing->reason, &closed))
		return;
	disposal_free_socket(closing->calls, socket, false);
	if (closing->closed)
		closing->closed[closing->count++] = closed;
	else
		closed_sockets_record(closing->calls, &closed, 1);
}

void close_all_sockets(struct calls *calls, uint32_t reason)
{
	struct closing closing = {.calls = calls, .reason = reason};

	serve_cancel_all(calls, reason);
	closing.closed = calloc(socket_table_count(calls->sockets) + 1, sizeof(*closing.closed));
	/* Descriptors first: the peers see the end at once, whatever plugins do with the rest. */
	socket_table_each(calls->sockets, closing_visit, &closing);
	deferred_close_now(&calls->closing);
	ASSERT(!socket_table_count(calls->sockets));
	closed_sockets_record(calls, closing.closed, closing.count);
	free(closing.closed);
}
