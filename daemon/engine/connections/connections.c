/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/connections/connections.h"

#include <stdlib.h>

#include "base/assert.h"
#include "engine/connections/connection.h"
#include "engine/connections/unsettled.h"

void connections_init(struct connections *connections, struct loop *loop, const struct log *log,
		      struct recovery_log *recovery_log, loop_fd_fn socket_ready)
{
	ASSERT(!connections->loop && loop && socket_ready);
	connections->loop = loop;
	connections->log = log;
	connections->recovery_log = recovery_log;
	connections->socket_ready = socket_ready;
}

void connections_free(struct connections *connections)
{
	ASSERT(!connections->run_first && !connections->polled_count);
	while (connections->spare) {
		struct connection *connection = connections->spare;

		connections->spare = connection->next;
		free(connection);
	}
}

static void connections_uncache_before(struct connections *connections, uint64_t before_ns)
{
	struct connection *connection;

	while ((connection = mapping_cache_take_old(&connections->mapping_cache, before_ns)))
		connection_unmap(connection);
}

void connections_uncache(struct connections *connections)
{
	connections_uncache_before(connections, UINT64_MAX);
}

void connections_sweep(struct connections *connections)
{
	connections_uncache_before(connections, loop_now_ns(connections->loop) - MAPPING_CACHE_NS);
	unsettled_settle_all(connections);
}
