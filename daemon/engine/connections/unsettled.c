/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/connections/unsettled.h"

#include <stddef.h>

#include "base/assert.h"
#include "engine/connections/connection.h"
#include "engine/connections/connections.h"
#include "sock/socket.h"

void unsettled_add(struct connection *connection)
{
	struct connections *all = connection->all;

	ASSERT(!connection->unsettled && connection->socket);
	connection->unsettled = true;
	connection->previous_unsettled = all->unsettled_last;
	connection->next_unsettled = NULL;
	if (all->unsettled_last)
		all->unsettled_last->next_unsettled = connection;
	else
		all->unsettled_first = connection;
	all->unsettled_last = connection;
}

void unsettled_remove(struct connection *connection)
{
	struct connections *all = connection->all;
	struct connection *previous = connection->previous_unsettled;
	struct connection *next = connection->next_unsettled;

	if (!connection->unsettled)
		return;
	ASSERT(previous ? previous->next_unsettled == connection
			: all->unsettled_first == connection);
	connection->unsettled = false;
	if (previous)
		previous->next_unsettled = next;
	else
		all->unsettled_first = next;
	if (next)
		next->previous_unsettled = previous;
	else
		all->unsettled_last = previous;
}

static void unsettled_settle(struct connection *connection)
{
	unsettled_remove(connection);
	socket_tune(connection->socket);
}

void unsettled_settle_before_send(struct connection *connection)
{
	const struct stream *stream = &connection->socket->stream;

	if (connection->unsettled && stream_has_output(stream) &&
	    (stream->bytes_out || !stream_sends_at_once(stream)))
		unsettled_settle(connection);
}

void unsettled_settle_all(struct connections *connections)
{
	while (connections->unsettled_first)
		unsettled_settle(connections->unsettled_first);
}
