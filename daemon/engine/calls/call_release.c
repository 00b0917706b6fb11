/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * RELEASE: the end of a socket.
 *
 * The order of section 1.4 of the protocol: what waits on the socket was ended before (serve.c),
 * what the guest had written is sent or copied aside (sock/lingering.h), pages are unmapped and the
 * event channel unbound, and only then is the guest answered, which may use its pages again.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "base/assert.h"
#include "engine/calls/call_steps.h"
#include "engine/calls/calls.h"
#include "engine/calls/disposal.h"
#include "engine/connections/connection.h"
#include "ipc/audit_record.h"

static int call_release_prepare(struct pending_call *pending)
{
	const struct guest_socket *socket;
	int error = pending_call_hold(pending);

	/* A frontend releases what a failed call never made: that is answered 0. */
	if (error == -EINVAL)
		return 0;
	if (error)
		return error;
	pending->close_reason = AUDIT_CLOSE_RELEASED;
	socket = pending->socket;
	pending->peer = socket->peer;
	pending->view.age_ns = pending->call.taken_ns - socket->created_ns;
	if (socket->state == SOCKET_STREAM) {
		pending->view.bytes_in = socket->stream.bytes_in;
		pending->view.bytes_out = socket->stream.bytes_out;
		pending->bytes_over = socket->stream.bytes_over;
	}
	return 0;
}

/*
 * Sends what the guest had written: first straight from the ring, the rest from a copy. Returns 0,
 * CALL_WAITS if there is no room for a copy, or -EPROTO for an impossible index.
 */
static int call_release_drain(struct calls *calls, struct guest_socket *socket)
{
	struct stream *stream = &socket->stream;
	struct ring_span span;
	uint64_t wake_ns;
	ssize_t bytes;
	int flags = stream_pump(stream, stream->ring.size, loop_now_ns(calls->loop), &wake_ns);

	if (flags < 0)
		return flags;
	if (stream->ring.out_ended)
		return 0;
	bytes = data_ring_out_bytes(&stream->ring, stream->ring.size, &span);
	if (bytes <= 0)
		return (int)bytes;
	loop_remove(calls->loop, &socket->source);
	if (lingering_add(calls->lingering, socket->fd, &span, (size_t)bytes) < 0)
		/* Watched again, the peer's next window goes on with it. */
		return connection_watch(calls->connections, socket) ? 0 : CALL_WAITS;
	socket->fd = -1;
	stream->bytes_out += (uint64_t)bytes;
	return 0;
}

static void call_release_dispose(struct pending_call *pending, bool reuse)
{
	struct guest_socket *socket = pending->socket;

	pending_call_let_go(pending);
	disposal_free_socket(pending->calls, socket, reuse);
}

/* Goes on until the socket is gone, or waits for its peer for LINGERING_NS at most. */
static int call_release_execute(struct pending_call *pending)
{
	struct calls *calls = pending->calls;
	struct guest_socket *socket = pending->socket;
	int result = 0;

	if (!socket)
		return 0;
	if (socket->state == SOCKET_STREAM) {
		result = call_release_drain(calls, socket);
		pending->view.bytes_in = socket->stream.bytes_in;
		pending->view.bytes_out = socket->stream.bytes_out;
	}
	if (result == CALL_WAITS && pending_call_expire_after(pending, LINGERING_NS) == 0) {
		if (!pending->wait.list)
			pending_list_add(&calls->draining, &pending->wait);
		return CALL_WAITS;
	}
	if (result < 0)
		protocol_violation_set(&calls->connections->violation,
				       "socket %llu: an index of its data ring is impossible",
				       (unsigned long long)socket->number);
	call_release_dispose(pending, pending->call.reuse);
	return 0;
}

static int call_release_resume(struct pending_call *pending, uint32_t events)
{
	(void)events;
	/* The peer has taken nothing for too long: what is left is given up, as the kernel would.
	 */
	if (pending->expired)
		stream_abort(&pending->socket->stream, -ETIMEDOUT);
	return call_release_execute(pending);
}

/* The socket goes at once, whatever was still to be sent. */
static void call_release_undo(struct pending_call *pending, int error)
{
	(void)error;
	if (!pending->socket)
		return;
	if (pending->socket->state == SOCKET_STREAM)
		connection_abort(pending->socket->connection, -ECONNRESET);
	call_release_dispose(pending, false);
}

const struct call_steps call_release_steps = {
	.prepare = call_release_prepare,
	.execute = call_release_execute,
	.resume = call_release_resume,
	.undo = call_release_undo,
	.cancelled = 0,
	.ends_others = true,
};
