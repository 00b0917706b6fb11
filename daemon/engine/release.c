/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * RELEASE, and the end of sockets that the guest does not release.
 *
 * The order of section 1.4 of the protocol: what waits on the socket is ended, what the guest had
 * written is sent or copied aside (linger.h), pages are unmapped and the event channel unbound, and
 * only then is the guest answered, which may use its pages again.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fd.h"
#include "engine/call_steps.h"
#include "engine/calls.h"
#include "engine/engine.h"

int prepare_release(struct flight *flight)
{
	struct guest_socket *socket = calls_find(flight);

	/* A frontend releases what a failed call never made: that is answered 0. */
	flight->close_reason = AUDIT_CLOSE_RELEASED;
	if (!socket)
		return 0;
	flight->peer = socket->peer;
	flight->view.age_ns = flight->call.taken_ns - socket->created_ns;
	if (socket->state == SOCKET_STREAM) {
		flight->view.bytes_in = socket->stream.bytes_in;
		flight->view.bytes_out = socket->stream.bytes_out;
	}
	return 0;
}

static void accept_end(struct flight *flight)
{
	struct engine *engine = flight->engine;

	if (!flight_get_slot(flight)) {
		log_warning(&engine->log,
			    "call %llu: an accept that ended has no room in the trail",
			    (unsigned long long)flight->call.serial);
		return;
	}
	flight_refuse(flight, "its listener was closed");
	if (engine->cancel)
		flight_finish(flight, -ECANCELED);
	else
		flight_finish_silently(flight, -ECANCELED);
}

static void delay_end(struct flight *flight)
{
	struct engine *engine = flight->engine;

	if (flight->accepted >= 0) {
		struct guest_socket *made = socket_table_find(engine->sockets, flight->call.id_new);

		socket_reset(flight->accepted);
		flight->accepted = -1;
		if (made)
			socket_table_remove(engine->sockets, made);
	}
	flight_finish(flight, -ECONNABORTED);
}

/* A second RELEASE, or the end of the guest, while one waits: it is done as far as it can be. */
static void release_end(struct flight *flight)
{
	flight->wait = FLIGHT_BUSY;
	flight_finish(flight, 0);
}

void waits_end(struct guest_socket *socket)
{
	struct flight *flight;

	polls_answer(socket);
	while ((flight = calls_waiting(socket, FLIGHT_ACCEPT))) {
		flight->wait = FLIGHT_BUSY;
		accept_end(flight);
	}
	while ((flight = calls_waiting(socket, FLIGHT_CONNECT)))
		connect_abandon(flight, -ECONNABORTED);
	while ((flight = calls_waiting(socket, FLIGHT_DELAY)))
		delay_end(flight);
	while ((flight = calls_waiting(socket, FLIGHT_RELEASE)))
		release_end(flight);
}

/* Unmaps and closes; the socket is gone afterwards. */
static void dispose(struct engine *engine, struct guest_socket *socket, bool reuse)
{
	loop_forget(engine->loop, &socket->source);
	if (socket->connection)
		connection_release(socket->connection, reuse);
	if (socket->state == SOCKET_STREAM) {
		engine->counters.bytes_in += socket->stream.bytes_in;
		engine->counters.bytes_out += socket->stream.bytes_out;
		stream_stop(&socket->stream);
		if (socket->fd >= 0)
			engine_close_later(engine, socket->fd);
	} else {
		/* At once: the next request may bind to the same address. */
		fd_close(&socket->fd);
	}
	socket_table_remove(engine->sockets, socket);
}

/*
 * Sends what the guest had written: first straight from the ring, the rest from a copy. Returns 0,
 * CALL_LATER if there is no room for a copy, or -EPROTO.
 */
static int drain(struct engine *engine, struct guest_socket *socket)
{
	struct stream *stream = &socket->stream;
	struct ring_span span;
	uint64_t wake_ns;
	ssize_t bytes;
	int flags = stream_pump(stream, stream->ring.size, clock_monotonic_ns(), &wake_ns);

	if (flags < 0)
		return flags;
	if (stream->ring.out_ended)
		return 0;
	bytes = data_ring_out_bytes(&stream->ring, stream->ring.size, &span);
	if (bytes <= 0)
		return (int)bytes;
	loop_remove(engine->loop, &socket->source);
	if (linger_add(engine->lingers, socket->fd, &span, (size_t)bytes) < 0) {
		/* Watched again, the peer's next window goes on with it. */
		return calls_watch(engine, socket, EPOLLOUT | EPOLLIN | EPOLLRDHUP | EPOLLET)
			       ? 0
			       : CALL_LATER;
	}
	socket->fd = -1;
	stream->bytes_out += (uint64_t)bytes;
	return 0;
}

/* The peer has taken nothing for too long: what is left is given up, as the kernel would. */
static void too_late(struct loop_timer *timer)
{
	struct flight *flight = timer->owner;

	stream_abort(&flight->socket->stream, -ETIMEDOUT);
	release_continue(flight->socket);
}

/* RELEASE waits until the peer has taken enough, or has taken none for LINGER_NS. */
static int wait_for_peer(struct flight *flight)
{
	struct engine *engine = flight->engine;

	flight->wait = FLIGHT_RELEASE;
	flight->socket->releasing = true;
	/* Called again whenever the peer has taken bytes: its time begins anew. */
	if (loop_arm(engine->loop, &flight->timer, clock_monotonic_ns() + LINGER_NS, too_late,
		     flight) < 0)
		log_warning(&engine->log, "no memory for the timer of a release");
	return CALL_LATER;
}

int execute_release(struct flight *flight)
{
	struct engine *engine = flight->engine;
	struct guest_socket *socket = flight->socket;
	int result = 0;

	if (!socket)
		return 0;
	if (!socket->releasing)
		waits_end(socket);
	if (socket->state == SOCKET_STREAM) {
		result = drain(engine, socket);
		flight->view.bytes_in = socket->stream.bytes_in;
		flight->view.bytes_out = socket->stream.bytes_out;
	}
	if (result == CALL_LATER)
		return wait_for_peer(flight);
	if (result < 0)
		engine_broken(engine, "socket %llu: an index of its data ring is impossible",
			      (unsigned long long)socket->number);
	flight->socket = NULL;
	dispose(engine, socket, flight->call.reuse);
	return 0;
}

void release_continue(struct guest_socket *socket)
{
	struct flight *flight = calls_waiting(socket, FLIGHT_RELEASE);

	if (!flight)
		return;
	flight->wait = FLIGHT_BUSY;
	if (execute_release(flight) != CALL_LATER)
		flight_finish(flight, 0);
}

static struct flight_release describe(const struct guest_socket *socket, uint32_t reason)
{
	struct flight_release about = {
		.socket = socket->number,
		.parent = socket->parent,
		.local = socket->local,
		.peer = socket->peer,
		.age_ns = clock_monotonic_ns() - socket->created_ns,
		.reason = reason,
	};

	if (socket->state == SOCKET_STREAM) {
		about.bytes_in = socket->stream.bytes_in;
		about.bytes_out = socket->stream.bytes_out;
	}
	return about;
}

void socket_close(struct engine *engine, struct guest_socket *socket, uint32_t reason,
		  struct flight_release *about)
{
	waits_end(socket);
	/* The rings of a guest of Xen outlive us: whoever waits at one must not wait for ever. */
	if (socket->state == SOCKET_STREAM) {
		const struct connection *connection = socket->connection;

		stream_abort(&socket->stream, -ECONNRESET);
		engine->transport->ops->notify(engine->transport, connection->port);
	}
	*about = describe(socket, reason);
	dispose(engine, socket, false);
}
