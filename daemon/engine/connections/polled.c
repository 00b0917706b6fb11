/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/connections/polled.h"

#include "base/assert.h"
#include "engine/connections/connection.h"
#include "engine/connections/connections.h"
#include "engine/connections/local_name.h"
#include "sock/socket.h"

bool polled_has_work(const struct connection *connection)
{
	return stream_has_work(&connection->socket->stream) || local_name_is_wanted(connection);
}

void polled_unmask(struct connection *connection)
{
	struct transport *transport = connection->all->transport;

	if (!connection->masked)
		return;
	connection->masked = false;
	transport->ops->unmask(transport, connection->port);
}

void polled_add(struct connection *connection)
{
	struct connections *all = connection->all;

	ASSERT(!connection->polled && !connection->queued && connection->socket);
	if (!connection->masked)
		return;
	if (all->polled_count == CONNECTIONS_POLLED_MAX) {
		polled_unmask(connection);
		return;
	}
	connection->polled_turn = all->turn;
	all->polled[all->polled_count++] = connection;
	connection->polled = all->polled_count;
}

void polled_remove(struct connection *connection)
{
	struct connections *all = connection->all;
	struct connection *last;

	if (!connection->polled)
		return;
	ASSERT(connection->polled <= all->polled_count &&
	       all->polled[connection->polled - 1] == connection);
	last = all->polled[--all->polled_count];
	all->polled[connection->polled - 1] = last;
	last->polled = connection->polled;
	connection->polled = 0;
}

void polled_unmask_all(struct connections *connections)
{
	while (connections->polled_count) {
		struct connection *connection = connections->polled[connections->polled_count - 1];

		polled_remove(connection);
		polled_unmask(connection);
	}
}

bool polled_have_work(const struct connections *connections)
{
	uint32_t i;

	for (i = 0; i < connections->polled_count; i++)
		if (polled_has_work(connections->polled[i]))
			return true;
	return false;
}
