/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/connections/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/assert.h"
#include "engine/connections/connections.h"
#include "engine/connections/local_name.h"
#include "engine/connections/polled.h"
#include "engine/connections/run_queue.h"
#include "engine/connections/unsettled.h"
#include "ring/data_ring.h"
#include "sock/socket.h"

/* What a connected socket is watched for. */
#define CONNECTION_EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

static struct connection *connection_obtain(struct connections *connections)
{
	struct connection *connection = connections->spare;

	if (!connection)
		return calloc(1, sizeof(*connection));
	connections->spare = connection->next;
	*connection = (struct connection){0};
	return connection;
}

static void connection_recycle(struct connection *connection)
{
	free(connection->refs);
	connection->refs = NULL;
	connection->next = connection->all->spare;
	connection->all->spare = connection;
}

/* A copy of the references, to know the pages by if they are brought again. Optional. */
static uint32_t *connection_copy_refs(const uint32_t *refs, uint32_t count)
{
	uint32_t *copy = malloc(count * sizeof(*refs));

	if (copy)
		memcpy(copy, refs, count * sizeof(*refs));
	return copy;
}

/* Maps the indexes page, then the data pages that it names. */
static int connection_map_pages(struct connection *connection)
{
	struct transport *transport = connection->all->transport;
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
	ASSERT(count > 0 && (uint32_t)count <= DATA_REFS_MAX);
	error = transport->ops->map(transport, refs, (uint32_t)count, &connection->data);
	if (error)
		return error;
	connection->pages = (uint32_t)count;
	if (connection->all->reuse)
		connection->refs = connection_copy_refs(refs, connection->pages);
	return 0;
}

/* What the cache holds under this reference, if it is what the guest brings now. */
static struct connection *connection_from_cache(struct connections *connections, uint32_t ref,
						uint32_t evtchn)
{
	struct connection *connection = mapping_cache_take(&connections->mapping_cache, ref);

	if (!connection)
		return NULL;
	if (connection->evtchn == evtchn &&
	    data_ring_has_refs(connection->indexes, connection->order, connection->refs))
		return connection;
	connection_unmap(connection);
	return NULL;
}

static int connection_map_anew(struct connections *connections, uint32_t ref, uint32_t evtchn,
			       struct connection **mapped)
{
	struct transport *transport = connections->transport;
	struct connection *connection = connection_obtain(connections);
	int error;

	if (!connection)
		return -ENOMEM;
	connection->all = connections;
	connection->ref = ref;
	connection->evtchn = evtchn;
	connection->recovery_place = RECOVERY_LOG_NONE;
	connections->sleeps++; /* the kernel may wait for others to map and to bind */
	error = connection_map_pages(connection);
	if (!error)
		error = transport->ops->bind(transport, evtchn, &connection->port);
	if (error) {
		connection->port = 0;
		connection_unmap(connection);
		return error;
	}
	ASSERT(connection->port < TRANSPORT_PORTS && !connections->by_port[connection->port]);
	connections->by_port[connection->port] = connection;
	*mapped = connection;
	return 0;
}

int connection_map(struct connections *connections, uint32_t ref, uint32_t evtchn,
		   struct connection **mapped)
{
	int error = 0;

	*mapped = connection_from_cache(connections, ref, evtchn);
	if (!*mapped)
		error = connection_map_anew(connections, ref, evtchn, mapped);
	if (!error)
		(*mapped)->recovery_place =
			recovery_log_add_socket(connections->recovery_log, ref, evtchn);
	return error;
}

/* Its socket has no more to do with it. */
static void connection_part(struct connection *connection)
{
	struct connections *all = connection->all;

	run_queue_remove(connection);
	unsettled_remove(connection);
	polled_remove(connection);
	loop_disarm(all->loop, &connection->wake);
	recovery_log_remove_socket(all->recovery_log, connection->recovery_place);
	connection->recovery_place = RECOVERY_LOG_NONE;
	connection->socket = NULL;
}

void connection_unmap(struct connection *connection)
{
	struct connections *all = connection->all;
	const struct transport_ops *ops = all->transport->ops;

	all->sleeps++; /* the kernel may wait for others to unmap */
	connection_part(connection);
	if (connection->port) {
		ASSERT(all->by_port[connection->port] == connection);
		all->by_port[connection->port] = NULL;
		ops->unbind(all->transport, connection->port);
	}
	if (connection->data)
		ops->unmap(all->transport, connection->data, connection->pages);
	if (connection->indexes)
		ops->unmap(all->transport, connection->indexes, 1);
	connection_recycle(connection);
}

void connection_release(struct connection *connection, bool reuse)
{
	struct connections *all = connection->all;

	connection_part(connection);
	if (!reuse || !connection->refs ||
	    !mapping_cache_put(&all->mapping_cache, connection, loop_now_ns(all->loop)))
		connection_unmap(connection);
}

int connection_watch(struct connections *connections, struct guest_socket *socket)
{
	return loop_add(connections->loop, &socket->source, socket->fd, CONNECTION_EVENTS,
			connections->socket_ready, socket);
}

int connection_start(struct connection *connection, struct guest_socket *socket,
		     struct meter *meter_in, struct meter *meter_out)
{
	struct connections *all = connection->all;
	int error = 0;

	ASSERT(!connection->socket && socket->fd >= 0);
	if (!socket->source.dispatch)
		error = connection_watch(all, socket);
	if (error)
		return error;
	socket->connection = connection;
	socket->state = SOCKET_STREAM;
	connection->socket = socket;
	data_ring_attach(&socket->stream.ring, connection->indexes, connection->data,
			 connection->order);
	socket->stream.ring.half_close = all->half_close;
	stream_start(&socket->stream, socket->fd, meter_in ? meter_ref(meter_in) : NULL,
		     meter_out ? meter_ref(meter_out) : NULL);
	local_name_begin(connection);
	if (!socket->parent)
		unsettled_add(connection);
	/* The guest may have written before it was told that it is connected. */
	if (connection->masked || polled_has_work(connection))
		run_queue_add(connection);
	return 0;
}

void connection_abort(struct connection *connection, int error)
{
	struct transport *transport = connection->all->transport;

	ASSERT(connection->socket);
	local_name_end(connection);
	stream_abort(&connection->socket->stream, error);
	transport->ops->notify(transport, connection->port);
}

void connection_event(struct connection *connection, uint32_t events)
{
	ASSERT(connection->socket);
	stream_event(&connection->socket->stream, events);
	run_queue_add(connection);
}

void connection_notified(struct connection *connection)
{
	connection->masked = true;
	run_queue_add(connection);
}
