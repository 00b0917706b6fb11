/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACCEPT: waits for a connection that the policy lets in.
 *
 * The request is only a wish; what floor and chain decide about is the peer, so the decision is
 * made when one comes. A peer that is refused is reset and recorded as a call of its own, and the
 * request goes on waiting. Several requests may wait on one listener; the oldest gets the first
 * connection.
 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "engine/call_steps.h"
#include "engine/calls.h"
#include "engine/engine.h"

/* No descriptor or memory for another connection: it stays in the kernel's backlog so long. */
#define ACCEPT_RETRY_NS (100 * NS_PER_MS)

int prepare_accept(struct flight *flight)
{
	struct guest_socket *listener = calls_find(flight);

	if (!listener || listener->state != SOCKET_LISTENING)
		return -EINVAL;
	if (socket_table_find(flight->engine->sockets, flight->call.id_new))
		return -EEXIST;
	flight->view.parent = listener->number;
	flight->view.socket = 0;
	return 0;
}

int execute_accept(struct flight *flight)
{
	flight->wait = FLIGHT_ACCEPT;
	accepts_try(flight->socket);
	return CALL_LATER;
}

/* Serves an accepted descriptor, which it takes, as the new socket. Returns 0 or -errno. */
static int adopt(struct flight *flight, struct guest_socket *socket, int fd)
{
	struct engine *engine = flight->engine;
	struct connection *connection;
	int error = connection_map(engine, flight->call.ref, flight->call.evtchn, &connection);

	if (error) {
		socket_reset(fd);
		return error;
	}
	socket->parent = flight->socket->number;
	socket_adopt(socket, fd, &flight->peer);
	socket_read_local(socket);
	flight->view.local = socket->local;
	connection_start(connection, socket, flight);
	return 0;
}

static void complete(struct flight *flight, int fd)
{
	struct engine *engine = flight->engine;
	struct guest_socket *socket = socket_table_find(engine->sockets, flight->call.id_new);
	int error;

	call_advance(&flight->call, CALL_RUNNING);
	error = adopt(flight, socket, fd);
	if (error)
		socket_table_remove(engine->sockets, socket);
	flight_finish(flight, error);
}

static void delay_over(struct loop_timer *timer)
{
	struct flight *flight = timer->owner;
	int fd = flight->accepted;

	flight->accepted = -1;
	complete(flight, fd);
}

/* The policy's word on a peer. Returns whether the flight is done with it (in or waiting). */
static void decide(struct flight *flight, int fd)
{
	struct engine *engine = flight->engine;
	struct guest_socket *socket;
	int error = socket_table_add(engine->sockets, flight->call.id_new, &socket);

	if (error) {
		socket_reset(fd);
		flight_refuse(flight, "no new socket for an accepted connection");
		flight_finish(flight, error);
		return;
	}
	socket->engine = engine;
	flight->view.socket = socket->number;
	/* It has waited since it was taken. */
	flight->view.monotonic_ns = clock_monotonic_ns();
	flight_decide(flight);
	if (!decision_permits(&flight->decision)) {
		socket_table_remove(engine->sockets, socket);
		socket_reset(fd);
		flight_refused_peer(flight, flight->decision.error);
		return;
	}
	if (flight->decision.delay_ns &&
	    loop_arm(engine->loop, &flight->timer, clock_monotonic_ns() + flight->decision.delay_ns,
		     delay_over, flight) == 0) {
		flight->wait = FLIGHT_DELAY;
		flight->accepted = fd;
		return;
	}
	complete(flight, fd);
}

static void retry(struct loop_timer *timer)
{
	accepts_retry(timer->owner);
}

/* One connection for one flight. Returns whether to try for more. */
static bool accept_one(struct flight *flight)
{
	struct engine *engine = flight->engine;
	int fd;

	if (!flight_get_slot(flight))
		return false;
	fd = socket_accept(flight->socket, &flight->call.requested);
	if (fd >= 0) {
		flight->peer = flight->call.requested;
		decide(flight, fd);
		return true;
	}
	switch (fd) {
	case -EAGAIN:
		return false;
	case -EMFILE:
	case -ENFILE:
	case -ENOBUFS:
	case -ENOMEM:
		(void)loop_arm(engine->loop, &engine->accept_timer,
			       clock_monotonic_ns() + ACCEPT_RETRY_NS, retry, engine);
		return false;
	default:
		/* A connection that died in the backlog (accept(2), "Error handling"). */
		return true;
	}
}

void accepts_try(struct guest_socket *listener)
{
	struct flight *flight;

	while ((flight = calls_waiting(listener, FLIGHT_ACCEPT)))
		if (!accept_one(flight))
			return;
}

void accepts_retry(struct engine *engine)
{
	size_t i;

	for (i = 0; i < COMMAND_SLOTS; i++)
		if (engine->flights[i].wait == FLIGHT_ACCEPT)
			accepts_try(engine->flights[i].socket);
}
