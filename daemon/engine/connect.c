/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CONNECT: never waits in the ring; the network's answer finishes the flight. */
#include <errno.h>

#include "base/clock.h"
#include "engine/call_steps.h"
#include "engine/calls.h"
#include "engine/engine.h"

int prepare_connect(struct flight *flight)
{
	struct guest_socket *socket = calls_find(flight);

	if (!socket)
		return -EINVAL;
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
	case SOCKET_LISTENING:
		break;
	}
	return -EINVAL;
}

/* Back to a socket that may connect again. */
static void give_up(struct flight *flight)
{
	struct guest_socket *socket = flight->socket;

	loop_forget(flight->engine->loop, &socket->source);
	connection_unmap(socket->connection);
	socket->connection = NULL;
	socket_disconnect(socket);
}

static void connected(struct flight *flight)
{
	struct guest_socket *socket = flight->socket;

	socket_read_local(socket);
	flight->view.local = socket->local;
	flight->peer = socket->peer;
	connection_start(socket->connection, socket, flight);
	flight->engine->priority.traffic.connected += PRIORITY_CONNECT_BYTES;
}

void connect_abandon(struct flight *flight, int error)
{
	give_up(flight);
	flight_finish(flight, error);
}

static void too_late(struct loop_timer *timer)
{
	connect_abandon(timer->owner, -ETIMEDOUT);
}

void connect_ready(struct guest_socket *socket)
{
	struct flight *flight = calls_waiting(socket, FLIGHT_CONNECT);
	int error = socket_connect_result(socket);

	if (!flight)
		return;
	if (error) {
		connect_abandon(flight, error);
		return;
	}
	connected(flight);
	flight_finish(flight, 0);
}

/* Connects the socket, whose pages are mapped. Returns 0, CALL_LATER or -errno. */
static int start(struct flight *flight)
{
	struct engine *engine = flight->engine;
	struct guest_socket *socket = flight->socket;
	int result = socket_connect(socket, &flight->decision.effective);
	int error;

	if (result && result != -EINPROGRESS)
		return result;
	if (result == 0) {
		connected(flight);
		return 0;
	}
	error = calls_watch(engine, socket, STREAM_EVENTS);
	if (error)
		return error;
	error = loop_arm(engine->loop, &flight->timer, clock_monotonic_ns() + ENGINE_CONNECT_NS,
			 too_late, flight);
	if (error)
		return error;
	flight->wait = FLIGHT_CONNECT;
	return CALL_LATER;
}

int execute_connect(struct flight *flight)
{
	struct guest_socket *socket = flight->socket;
	struct connection *connection;
	int result =
		connection_map(flight->engine, flight->call.ref, flight->call.evtchn, &connection);

	if (result)
		return result;
	socket->connection = connection;
	result = start(flight);
	if (result < 0)
		give_up(flight);
	return result;
}
