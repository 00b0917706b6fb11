/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of the operations' steps, and the operations that finish at once. */
#include "engine/calls.h"

#include <errno.h>
#include <sys/epoll.h>

#include "engine/call_steps.h"
#include "engine/engine.h"

struct guest_socket *calls_find(struct flight *flight)
{
	struct guest_socket *socket = socket_table_find(flight->engine->sockets, flight->call.id);

	if (!socket)
		return NULL;
	flight->socket = socket;
	flight->view.socket = socket->number;
	flight->view.parent = socket->parent;
	flight->view.local = socket->local;
	return socket;
}

int calls_watch(struct engine *engine, struct guest_socket *socket, uint32_t events)
{
	return loop_add(engine->loop, &socket->source, socket->fd, events, socket_ready, socket);
}

/* The socket is made here, so that the policy already knows its number. */
static int prepare_socket(struct flight *flight)
{
	int error = socket_table_add(flight->engine->sockets, flight->call.id, &flight->socket);

	if (!error)
		flight->view.socket = flight->socket->number;
	return error;
}

static int execute_socket(struct flight *flight)
{
	flight->socket->engine = flight->engine;
	return 0;
}

static void undo_socket(struct flight *flight, int error)
{
	(void)error;
	socket_table_remove(flight->engine->sockets, flight->socket);
	flight->socket = NULL;
}

static int prepare_bind(struct flight *flight)
{
	struct guest_socket *socket = calls_find(flight);

	return socket && socket->state == SOCKET_NEW ? 0 : -EINVAL;
}

static int execute_bind(struct flight *flight)
{
	int error = socket_bind(flight->socket, &flight->decision.effective);

	flight->view.local = flight->socket->local;
	if (!error && flight->engine->names)
		flight->extra = flight->socket->local.port;
	return error;
}

static void undo_bind(struct flight *flight, int error)
{
	socket_refuse_bind(flight->socket, error);
}

/* A BIND that failed is answered here: the Linux frontend did not look at its result. */
static int prepare_listen(struct flight *flight)
{
	struct guest_socket *socket = calls_find(flight);

	if (socket && socket->state == SOCKET_REFUSED)
		return socket->bind_error;
	return socket && socket->state == SOCKET_BOUND ? 0 : -EINVAL;
}

static int execute_listen(struct flight *flight)
{
	struct engine *engine = flight->engine;
	struct guest_socket *socket = flight->socket;
	int error = socket_listen(socket, flight->call.backlog);

	if (error)
		return error;
	/* A port of 0 got its number when it was bound or only now. */
	socket_read_local(socket);
	flight->view.local = socket->local;
	if (engine->names)
		flight->extra = socket->local.port;
	return calls_watch(engine, socket, EPOLLIN | EPOLLET);
}

/* A POLL on what is not listening is answered at once, whatever the guest takes the answer for. */
static int prepare_poll(struct flight *flight)
{
	struct guest_socket *socket = calls_find(flight);

	return socket && socket->state == SOCKET_LISTENING ? 0 : -EINVAL;
}

static int execute_poll(struct flight *flight)
{
	if (socket_has_waiting(flight->socket))
		return 0;
	flight->wait = FLIGHT_POLL;
	return CALL_LATER;
}

/* clang-format off */
const struct call_steps call_steps[PVCALLS_OP_COUNT] = {
	/*                     prepare          execute          undo         decides_later */
	[PVCALLS_OP_SOCKET]  = {prepare_socket,  execute_socket,  undo_socket, false},
	[PVCALLS_OP_CONNECT] = {prepare_connect, execute_connect, NULL,        false},
	[PVCALLS_OP_RELEASE] = {prepare_release, execute_release, NULL,        false},
	[PVCALLS_OP_BIND]    = {prepare_bind,    execute_bind,    undo_bind,   false},
	[PVCALLS_OP_LISTEN]  = {prepare_listen,  execute_listen,  NULL,        false},
	[PVCALLS_OP_ACCEPT]  = {prepare_accept,  execute_accept,  NULL,        true},
	[PVCALLS_OP_POLL]    = {prepare_poll,    execute_poll,    NULL,        false},
};
/* clang-format on */

void socket_ready(struct loop_source *source, uint32_t events)
{
	struct guest_socket *socket = source->owner;

	switch (socket->state) {
	case SOCKET_CONNECTING:
		connect_ready(socket);
		/* The edge is told once: what came with it belongs to the stream. */
		if (socket->state == SOCKET_STREAM) {
			stream_event(&socket->stream, events);
			connection_queue(socket->connection);
		}
		break;
	case SOCKET_LISTENING:
		polls_answer(socket);
		accepts_try(socket);
		break;
	case SOCKET_STREAM:
		stream_event(&socket->stream, events);
		connection_queue(socket->connection);
		break;
	case SOCKET_NEW:
	case SOCKET_BOUND:
	case SOCKET_REFUSED:
		break; /* not watched */
	}
}

struct flight *calls_waiting(struct guest_socket *socket, enum flight_wait wait)
{
	struct engine *engine = socket->engine;
	struct flight *first = NULL;
	size_t i;

	for (i = 0; i < COMMAND_SLOTS; i++) {
		struct flight *flight = &engine->flights[i];

		if (flight->wait == wait && flight->socket == socket &&
		    (!first || flight->call.serial < first->call.serial))
			first = flight;
	}
	return first;
}

void polls_answer(struct guest_socket *listener)
{
	struct flight *flight;

	while ((flight = calls_waiting(listener, FLIGHT_POLL)))
		flight_finish(flight, 0);
}
