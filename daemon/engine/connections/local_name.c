/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/connections/local_name.h"

#include <string.h>

#include "base/assert.h"
#include "engine/connections/connection.h"
#include "engine/connections/connections.h"
#include "sock/socket.h"

static void local_name_tell(struct connection *connection, bool known)
{
	struct guest_socket *socket = connection->socket;
	struct wire_names names = {
		.local_port = __builtin_bswap16(socket->local.port),
		.peer_port = __builtin_bswap16(socket->peer.port),
	};

	memcpy(&names.local_addr, socket->local.addr, sizeof(names.local_addr));
	memcpy(&names.peer_addr, socket->peer.addr, sizeof(names.peer_addr));
	connection->local_untold = !known;
	data_ring_names(&socket->stream.ring, &names, known);
}

void local_name_begin(struct connection *connection)
{
	const struct connections *all = connection->all;
	struct guest_socket *socket = connection->socket;

	ASSERT(socket && socket->state == SOCKET_STREAM);
	if (!socket->local.family && (all->read_local || (all->names && !all->names_on_demand)))
		socket_read_local(socket);
	connection->local_untold = false;
	if (all->names)
		local_name_tell(connection, socket->local.family != 0);
}

bool local_name_is_wanted(const struct connection *connection)
{
	return connection->local_untold && data_ring_local_wanted(&connection->socket->stream.ring);
}

/* A report of status may have read it already. What the kernel would not tell is told as zero. */
static void local_name_learn(struct connection *connection)
{
	if (!connection->socket->local.family)
		socket_read_local(connection->socket);
	local_name_tell(connection, true);
}

bool local_name_answer(struct connection *connection)
{
	ASSERT(connection->socket);
	if (!local_name_is_wanted(connection))
		return false;
	local_name_learn(connection);
	return true;
}

void local_name_end(struct connection *connection)
{
	ASSERT(connection->socket);
	if (connection->local_untold)
		local_name_learn(connection);
}
