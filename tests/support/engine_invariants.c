/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine_invariants.h"

#include "base/assert.h"
#include "engine/calls/serve.h"
#include "engine/connections/connection.h"

#define INVARIANTS_PORTS 64u /* that guests of tests use; looking at all takes long */

/* A walk over all sockets. */
struct survey {
	struct calls *calls;
	uint32_t connected; /* sockets with a connection */
};

static void invariants_of_holder(const struct guest_socket *socket)
{
	const struct pending_call *holder = socket->holder;

	ASSERT(!holder || (holder->in_use && !holder->awaits_commit));
	ASSERT(!holder || (holder->socket == socket) != (holder->reserved == socket));
	if (socket->state == SOCKET_RESERVED)
		ASSERT(holder && holder->reserved == socket && socket->fd < 0);
	if (socket->state == SOCKET_CONNECTING)
		ASSERT(holder && holder->call.op == PVCALLS_OP_CONNECT &&
		       holder->call.state == CALL_RUNNING);
}

static void invariants_of_socket(void *owner, struct guest_socket *socket)
{
	struct survey *survey = owner;
	bool mapped = socket->state == SOCKET_CONNECTING || socket->state == SOCKET_STREAM;
	bool open = mapped || socket->state == SOCKET_BOUND || socket->state == SOCKET_LISTENING;

	ASSERT(calls_of(socket) == survey->calls);
	ASSERT(socket_table_find(survey->calls->sockets, socket->id) == socket);
	invariants_of_holder(socket);
	ASSERT(!!socket->connection == mapped);
	ASSERT((socket->fd >= 0) == open);
	ASSERT(!!socket->source.dispatch == (mapped || socket->state == SOCKET_LISTENING));
	ASSERT(!socket->holder || socket->state != SOCKET_KILLED);
	if (socket->state == SOCKET_STREAM)
		ASSERT(socket->connection->socket == socket && socket->stream.fd == socket->fd);
	if (socket->state == SOCKET_CONNECTING)
		ASSERT(!socket->connection->socket);
	survey->connected += mapped;
}

/* What a call that waits is in: the stages in which it may. */
static void invariants_of_stage(const struct pending_call *pending)
{
	uint32_t op = pending->call.op;
	bool delayed = pending->call.state == CALL_DELAYED;
	bool accepts = op == PVCALLS_OP_ACCEPT;

	if (pending->call.state == CALL_RUNNING)
		ASSERT(op == PVCALLS_OP_CONNECT || op == PVCALLS_OP_POLL ||
		       op == PVCALLS_OP_RELEASE);
	else
		ASSERT(delayed || (accepts && pending->call.state == CALL_PREPARED));
	ASSERT(!!pending->timer.heap_slot ==
	       (delayed || (pending->call.state == CALL_RUNNING && op != PVCALLS_OP_POLL)));
	ASSERT((pending->peer_fd >= 0) == (accepts && delayed));
	ASSERT((pending->spare_slot != PENDING_CALL_NO_SLOT) == (accepts && delayed));
}

static void invariants_of_pending(const struct calls *calls, struct pending_call *pending)
{
	bool waits_at =
		pending->call.op == PVCALLS_OP_ACCEPT || pending->call.op == PVCALLS_OP_POLL;

	ASSERT(socket_table_find(calls->sockets, pending->call.id) == pending->socket);
	ASSERT(pending->socket && pending->view.serial == pending->call.serial);
	if (waits_at)
		ASSERT(pending->socket->state == SOCKET_LISTENING && !pending->socket->holder &&
		       pending->wait.list == &pending->socket->waiting);
	else
		ASSERT(pending->socket->holder == pending);
	ASSERT(!!pending->reserved == (pending->call.op == PVCALLS_OP_ACCEPT));
	if (pending->reserved)
		ASSERT(pending->reserved->holder == pending &&
		       pending->reserved->state == SOCKET_RESERVED &&
		       socket_table_find(calls->sockets, pending->call.id_new) ==
			       pending->reserved);
	invariants_of_stage(pending);
}

/* The lists that it is in. */
static void invariants_of_place(const struct calls *calls, const struct pending_call *pending)
{
	struct pending_link **wait = pending->wait.list;

	if (!pending->is_parked)
		ASSERT(pending->place.list == &calls->in_slots);
	else
		ASSERT(calls->parks && (pending->place.list == &calls->parked ||
					pending->place.list == &calls->untold));
	ASSERT(pending->awaits_commit == (wait == &calls->storing));
	if (wait == &calls->draining)
		ASSERT(pending->call.op == PVCALLS_OP_RELEASE &&
		       pending->call.state == CALL_RUNNING);
}

/* Pending calls and free ones are all there are, as the ring sees them. Returns their slots. */
static uint32_t invariants_of_calls(struct calls *calls)
{
	const struct pending_call *unused;
	struct pending_call *pending;
	uint32_t collects = calls->collects_taken - calls->collects_answered;
	uint32_t in_slots = 0;
	uint32_t in_use = 0;
	uint32_t slots = 0;
	uint32_t free = 0;
	uint32_t i;

	for (i = 0; (pending = pending_call_at(calls, i)); i++) {
		if (!pending->in_use)
			continue;
		in_use++;
		in_slots += !pending->is_parked;
		invariants_of_place(calls, pending);
		if (pending->place.list == &calls->untold) {
			ASSERT(pending->call.state == CALL_DONE && !pending->socket && !collects);
			continue;
		}
		if (pending->awaits_commit) {
			ASSERT(calls->sync && pending->call.state == CALL_DONE && !pending->socket);
			continue;
		}
		invariants_of_pending(calls, pending);
		slots += 1 + (pending->spare_slot != PENDING_CALL_NO_SLOT);
	}
	for (unused = calls->table.free; unused && free <= PARKED_MAX; unused = unused->next_free)
		free++;
	ASSERT(free + in_use == calls->table.size && in_use - in_slots == calls->table.parked);
	ASSERT(free >= COMMAND_SLOTS - in_slots);
	ASSERT(calls->ring.req_cons - calls->ring.rsp_prod >= in_slots + collects);
	ASSERT(calls->ring.req_cons - calls->ring.rsp_prod <=
	       in_slots + collects + calls->counters.lost_slots);
	return slots;
}

static void invariants_of_connections(const struct connections *connections, uint32_t connected,
				      uint32_t ports)
{
	const struct connection *connection;
	uint32_t queued = 0;
	uint32_t bound = 0;
	uint32_t i;

	for (i = 0; i < connections->polled_count; i++) {
		connection = connections->polled[i];
		ASSERT(connection->polled == i + 1 && connection->socket && connection->masked);
		ASSERT(!connection->queued);
	}
	for (connection = connections->run_first; connection; connection = connection->next) {
		ASSERT(connection->queued && connection->socket && !connection->polled);
		ASSERT(connection->next || connection == connections->run_last);
		ASSERT(++queued <= connected);
	}
	for (i = 0; i < ports; i++)
		bound += !!connections->by_port[i];
	ASSERT(bound == connected + connections->mapping_cache.count);
}

void engine_invariants_check(struct engine *engine, uint32_t other_slots)
{
	struct survey survey = {.calls = &engine->calls};
	uint32_t kept = audit_queue_kept(engine->calls.queue);
	uint32_t slots;

	/* Starved, it counts what it collects itself, to know that there is room again. */
	if (!engine->calls.starved)
		serve_reap(&engine->calls);
	slots = invariants_of_calls(&engine->calls);
	socket_table_each(engine->calls.sockets, invariants_of_socket, &survey);
	invariants_of_connections(&engine->connections, survey.connected, INVARIANTS_PORTS);
	ASSERT(!engine->calls.closing.count);
	/* What was kept may have got slots just now. */
	if (!engine->calls.starved && !kept)
		ASSERT(audit_queue_used(engine->calls.queue) == slots + other_slots);
}

void engine_invariants_check_detached(struct engine *engine)
{
	ASSERT(!engine->calls.attached && !engine->calls.responses_due);
	ASSERT(!socket_table_count(engine->calls.sockets));
	ASSERT(!engine->connections.run_first && !engine->connections.polled_count);
	ASSERT(!engine->connections.unsettled_first && !engine->connections.mapping_cache.count);
	ASSERT(!engine_invariants_descriptors(engine) && !engine->calls.closing.count);
	invariants_of_connections(&engine->connections, 0, TRANSPORT_PORTS);
	serve_reap(&engine->calls);
	ASSERT(!audit_queue_used(engine->calls.queue));
}

static void invariants_count_descriptor(void *owner, struct guest_socket *socket)
{
	uint32_t *count = owner;

	*count += socket->fd >= 0;
}

uint32_t engine_invariants_descriptors(struct engine *engine)
{
	const struct pending_call *pending;
	uint32_t count = 0;
	uint32_t i;

	socket_table_each(engine->calls.sockets, invariants_count_descriptor, &count);
	for (i = 0; (pending = pending_call_at(&engine->calls, i)); i++)
		count += pending->in_use && pending->peer_fd >= 0;
	return count;
}
