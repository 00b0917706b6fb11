/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/call_steps.h"
#include "engine/engine.h"
#include "policy/chain.h"

static struct connection *obtain(struct engine *engine)
{
	struct connection *connection = engine->spare;

	if (!connection)
		return calloc(1, sizeof(*connection));
	engine->spare = connection->next;
	*connection = (struct connection){0};
	return connection;
}

static void recycle(struct connection *connection)
{
	free(connection->refs);
	connection->refs = NULL;
	connection->next = connection->engine->spare;
	connection->engine->spare = connection;
}

/* A copy of the references, to know the pages by if they are brought again. Optional. */
static uint32_t *copy_refs(const uint32_t *refs, uint32_t count)
{
	uint32_t *copy = malloc(count * sizeof(*refs));

	if (copy)
		memcpy(copy, refs, count * sizeof(*refs));
	return copy;
}

/* Maps the indexes page, then the data pages that it names. */
static int map_pages(struct connection *connection)
{
	struct engine *engine = connection->engine;
	struct transport *transport = engine->transport;
	uint32_t refs[DATA_REFS_MAX];
	void *page;
	int count;
	int error = transport->ops->map(transport, &connection->ref, 1, &page);

	if (error)
		return error;
	connection->indexes = page;
	count = data_ring_read_refs(connection->indexes, DATA_ORDER_MAX, connection->ref, refs,
				    &connection->order);
	if (count < 0)
		return count;
	error = transport->ops->map(transport, refs, (uint32_t)count, &connection->data);
	if (error)
		return error;
	connection->pages = (uint32_t)count;
	if (engine->reuse)
		connection->refs = copy_refs(refs, connection->pages);
	return 0;
}

/* Whether a parked connection is what the guest brings now. */
static bool is_same(const struct connection *connection, uint32_t evtchn)
{
	return connection->evtchn == evtchn &&
	       data_ring_has_refs(connection->indexes, connection->order, connection->refs);
}

static struct connection *unpark(struct engine *engine, uint32_t ref, uint32_t evtchn)
{
	struct connection *connection = parking_take(&engine->parking, ref);

	if (!connection || is_same(connection, evtchn))
		return connection;
	connection_unmap(connection);
	return NULL;
}

static int map_anew(struct engine *engine, uint32_t ref, uint32_t evtchn,
		    struct connection **mapped)
{
	struct connection *connection = obtain(engine);
	int error;

	if (!connection)
		return -ENOMEM;
	connection->engine = engine;
	connection->ref = ref;
	connection->evtchn = evtchn;
	connection->recovery_place = RECOVERY_LOG_NONE;
	policy_slept(engine->policy); /* the kernel may wait for others to map and to bind */
	error = map_pages(connection);
	if (!error)
		error = engine->transport->ops->bind(engine->transport, evtchn, &connection->port);
	if (error) {
		connection->port = 0;
		connection_unmap(connection);
		return error;
	}
	engine->by_port[connection->port] = connection;
	*mapped = connection;
	return 0;
}

int connection_map(struct engine *engine, uint32_t ref, uint32_t evtchn, struct connection **mapped)
{
	int error = 0;

	*mapped = unpark(engine, ref, evtchn);
	if (!*mapped)
		error = map_anew(engine, ref, evtchn, mapped);
	if (!error)
		(*mapped)->recovery_place =
			recovery_log_add_socket(&engine->recovery_log, ref, evtchn);
	return error;
}

static void unqueue(struct connection *connection)
{
	struct engine *engine = connection->engine;
	struct connection **link = &engine->run_first;
	struct connection *previous = NULL;

	if (!connection->queued)
		return;
	while (*link != connection) {
		previous = *link;
		link = &previous->next;
	}
	*link = connection->next;
	if (engine->run_last == connection)
		engine->run_last = previous;
	connection->queued = false;
}

/* Takes a connection out of the list of those that are not settled. */
static void unfresh(struct connection *connection)
{
	struct engine *engine = connection->engine;
	struct connection **link = &engine->fresh_first;
	struct connection *previous = NULL;

	if (!connection->fresh)
		return;
	connection->fresh = false;
	while (*link != connection) {
		previous = *link;
		link = &previous->next_fresh;
	}
	*link = connection->next_fresh;
	if (engine->fresh_last == connection)
		engine->fresh_last = previous;
}

static void unmask(struct connection *connection)
{
	struct transport *transport = connection->engine->transport;

	if (!connection->masked)
		return;
	connection->masked = false;
	transport->ops->unmask(transport, connection->port);
}

static void leave_warm(struct connection *connection)
{
	struct engine *engine = connection->engine;
	struct connection *last;

	if (!connection->warm)
		return;
	last = engine->warm[--engine->warm_count];
	engine->warm[connection->warm - 1] = last;
	last->warm = connection->warm;
	connection->warm = 0;
}

/* It has no work now. Its event stays masked as long as looking for work promises more. */
static void keep_warm(struct connection *connection)
{
	struct engine *engine = connection->engine;

	if (!connection->masked)
		return;
	if (engine->warm_count == ENGINE_WARM_MAX) {
		unmask(connection);
		return;
	}
	connection->warm_turn = engine->turn;
	engine->warm[engine->warm_count++] = connection;
	connection->warm = engine->warm_count;
}

void connections_look(struct engine *engine)
{
	uint32_t i = engine->warm_count;

	/* From the end: the last one takes the place of one that leaves. */
	while (i--) {
		struct connection *connection = engine->warm[i];

		if (stream_has_work(&connection->socket->stream)) {
			leave_warm(connection);
			connection_queue(connection);
		} else if (engine->turn - connection->warm_turn >= ENGINE_WARM_TURNS) {
			leave_warm(connection);
			unmask(connection);
		}
	}
}

bool connections_have_work(const struct engine *engine)
{
	uint32_t i;

	for (i = 0; i < engine->warm_count; i++)
		if (stream_has_work(&engine->warm[i]->socket->stream))
			return true;
	return false;
}

void connections_cool(struct engine *engine)
{
	while (engine->warm_count) {
		struct connection *connection = engine->warm[engine->warm_count - 1];

		leave_warm(connection);
		unmask(connection);
	}
}

/* Its socket has no more to do with it. */
static void part(struct connection *connection)
{
	struct engine *engine = connection->engine;

	unqueue(connection);
	unfresh(connection);
	leave_warm(connection);
	loop_disarm(engine->loop, &connection->wake);
	recovery_log_remove_socket(&engine->recovery_log, connection->recovery_place);
	connection->recovery_place = RECOVERY_LOG_NONE;
	connection->socket = NULL;
}

void connection_unmap(struct connection *connection)
{
	struct engine *engine = connection->engine;
	const struct transport_ops *ops = engine->transport->ops;

	policy_slept(engine->policy); /* the kernel may wait for others to unmap */
	part(connection);
	if (connection->port) {
		engine->by_port[connection->port] = NULL;
		ops->unbind(engine->transport, connection->port);
	}
	if (connection->data)
		ops->unmap(engine->transport, connection->data, connection->pages);
	if (connection->indexes)
		ops->unmap(engine->transport, connection->indexes, 1);
	recycle(connection);
}

static void unpark_old(struct engine *engine, uint64_t before_ns)
{
	struct connection *connection;

	while ((connection = parking_take_old(&engine->parking, before_ns)))
		connection_unmap(connection);
}

void connection_release(struct connection *connection, bool reuse)
{
	struct engine *engine = connection->engine;

	part(connection);
	if (!reuse || !connection->refs || !parking_put(&engine->parking, connection))
		connection_unmap(connection);
}

void connections_unpark(struct engine *engine)
{
	unpark_old(engine, UINT64_MAX);
}

void connections_sweep(struct engine *engine)
{
	unpark_old(engine, clock_monotonic_ns() - PARKING_NS);
}

static void tell_names(struct connection *connection)
{
	const struct guest_socket *socket = connection->socket;
	struct wire_names names = {
		.local_port = __builtin_bswap16(socket->local.port),
		.peer_port = __builtin_bswap16(socket->peer.port),
	};

	__builtin_memcpy(&names.local_addr, socket->local.addr, sizeof(names.local_addr));
	__builtin_memcpy(&names.peer_addr, socket->peer.addr, sizeof(names.peer_addr));
	data_ring_names(&connection->socket->stream.ring, &names);
}

static void settle(struct connection *connection)
{
	struct guest_socket *socket = connection->socket;
	int error = 0;

	unfresh(connection);
	socket_tune(socket);
	if (!socket->source.dispatch)
		error = calls_watch(connection->engine, socket, STREAM_EVENTS);
	if (!error)
		return;
	log_error(&connection->engine->log, "socket %llu can't be watched: %s",
		  (unsigned long long)socket->number, strerror(-error));
	stream_abort(&socket->stream, -ECONNABORTED);
	connection->engine->transport->ops->notify(connection->engine->transport, connection->port);
}

void connections_settle(struct engine *engine, uint64_t age)
{
	while (engine->fresh_first && engine->turn - engine->fresh_first->fresh_turn >= age)
		settle(engine->fresh_first);
}

static void freshen(struct connection *connection)
{
	struct engine *engine = connection->engine;

	connection->fresh = true;
	connection->fresh_turn = engine->turn;
	connection->next_fresh = NULL;
	if (engine->fresh_last)
		engine->fresh_last->next_fresh = connection;
	else
		engine->fresh_first = connection;
	engine->fresh_last = connection;
}

void connection_start(struct connection *connection, struct guest_socket *socket,
		      const struct flight *flight)
{
	socket->connection = connection;
	socket->state = SOCKET_STREAM;
	connection->socket = socket;
	data_ring_attach(&socket->stream.ring, connection->indexes, connection->data,
			 connection->order);
	socket->stream.ring.half_close = connection->engine->half_close;
	stream_start(&socket->stream, socket->fd,
		     flight->meter_in ? meter_ref(flight->meter_in) : NULL,
		     flight->meter_out ? meter_ref(flight->meter_out) : NULL);
	if (connection->engine->names)
		tell_names(connection);
	freshen(connection);
	/* The guest may have written before it was told that it is connected. */
	if (connection->masked || stream_has_work(&socket->stream))
		connection_queue(connection);
}

void connection_queue(struct connection *connection)
{
	struct engine *engine = connection->engine;

	if (connection->queued || !connection->socket)
		return;
	leave_warm(connection);
	connection->queued = true;
	connection->next = NULL;
	if (engine->run_last)
		engine->run_last->next = connection;
	else
		engine->run_first = connection;
	engine->run_last = connection;
}

void connection_rung(struct connection *connection)
{
	connection->masked = true;
	if (connection->socket)
		connection_queue(connection);
}

static void meter_ready(struct loop_timer *timer)
{
	connection_queue(timer->owner);
}

/* One pass of one connection. Returns whether bytes moved. */
static bool run(struct connection *connection)
{
	struct engine *engine = connection->engine;
	struct guest_socket *socket = connection->socket;
	uint64_t before_in = socket->stream.bytes_in;
	uint64_t before_out = socket->stream.bytes_out;
	uint64_t wake_ns;
	int flags;

	if (connection->fresh)
		settle(connection);
	flags = stream_pump(&socket->stream, ENGINE_BYTES_PER_TURN, clock_monotonic_ns(), &wake_ns);
	engine->priority.traffic.taken += socket->stream.bytes_in - before_in;
	engine->priority.traffic.given += socket->stream.bytes_out - before_out;
	engine->bytes_moved += socket->stream.bytes_in - before_in;
	engine->bytes_moved += socket->stream.bytes_out - before_out;
	engine->look.peers_told |= socket->stream.bytes_out != before_out;
	if (flags < 0) {
		engine_broken(engine, "socket %llu: an index of its data ring is impossible",
			      (unsigned long long)socket->number);
		return false;
	}
	if (flags & STREAM_NOTIFY)
		engine->transport->ops->notify(engine->transport, connection->port);
	if (flags & STREAM_MORE) {
		connection_queue(connection);
	} else if (flags & STREAM_WAIT) {
		(void)loop_arm(engine->loop, &connection->wake, wake_ns, meter_ready, connection);
		unmask(connection);
	} else {
		keep_warm(connection);
	}
	/* Last: socket and connection may be gone afterwards. */
	if (socket->releasing && (flags & STREAM_MOVED || socket->stream.ring.out_ended))
		release_continue(socket);
	return flags & STREAM_MOVED;
}

bool connections_run(struct engine *engine)
{
	struct connection *last = engine->run_last;
	bool moved = false;

	while (engine->run_first && !engine->broken[0]) {
		struct connection *connection = engine->run_first;

		engine->run_first = connection->next;
		if (!engine->run_first)
			engine->run_last = NULL;
		connection->queued = false;
		moved |= run(connection);
		if (connection == last)
			break;
	}
	return moved;
}
