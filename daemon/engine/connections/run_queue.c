/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/connections/run_queue.h"

#include <stddef.h>

#include "base/assert.h"
#include "engine/connections/connection.h"
#include "engine/connections/connections.h"
#include "engine/connections/local_name.h"
#include "engine/connections/polled.h"
#include "engine/connections/unsettled.h"
#include "sock/socket.h"

void run_queue_add(struct connection *connection)
{
	struct connections *all = connection->all;

	if (connection->queued || !connection->socket)
		return;
	polled_remove(connection);
	connection->queued = true;
	connection->next = NULL;
	if (all->run_last)
		all->run_last->next = connection;
	else
		all->run_first = connection;
	all->run_last = connection;
}

void run_queue_remove(struct connection *connection)
{
	struct connections *all = connection->all;
	struct connection **link = &all->run_first;
	struct connection *previous = NULL;

	if (!connection->queued)
		return;
	while (*link != connection) {
		previous = *link;
		ASSERT(previous);
		link = &previous->next;
	}
	*link = connection->next;
	if (all->run_last == connection)
		all->run_last = previous;
	connection->queued = false;
}

void run_queue_poll(struct connections *connections)
{
	uint32_t i = connections->polled_count;

	/* From the end: the last one takes the place of one that leaves. */
	while (i--) {
		struct connection *connection = connections->polled[i];

		if (polled_has_work(connection)) {
			run_queue_add(connection);
		} else if (connections->turn - connection->polled_turn >=
			   CONNECTIONS_POLLED_TURNS) {
			polled_remove(connection);
			polled_unmask(connection);
		}
	}
}

static void run_queue_meter_ready(struct loop_timer *timer)
{
	run_queue_add(timer->owner);
}

/* Moves bytes, with what that means for who is told and counted. Returns STREAM_... or -EPROTO. */
static int run_queue_pump(struct connection *connection, uint64_t *wake_ns)
{
	struct connections *all = connection->all;
	struct stream *stream = &connection->socket->stream;
	uint64_t before_in = stream->bytes_in;
	uint64_t before_out = stream->bytes_out;
	int flags;

	unsettled_settle_before_send(connection);
	flags = stream_pump(stream, CONNECTIONS_BYTES_PER_TURN, loop_now_ns(all->loop), wake_ns);
	all->traffic.taken += stream->bytes_in - before_in;
	all->traffic.given += stream->bytes_out - before_out;
	all->peers_told |= stream->bytes_out != before_out;
	if (stream->ring.in_ended && stream->ring.out_ended)
		local_name_end(connection);
	return flags;
}

/* One pass of one connection. Returns whether anything moved. */
static bool run_queue_pass(struct connection *connection)
{
	struct connections *all = connection->all;
	bool told = local_name_answer(connection);
	uint64_t wake_ns;
	int flags = run_queue_pump(connection, &wake_ns);

	if (flags < 0) {
		protocol_violation_set(&all->violation,
				       "socket %llu: an index of its data ring is impossible",
				       (unsigned long long)connection->socket->number);
		return false;
	}
	if (told || flags & STREAM_NOTIFY)
		all->transport->ops->notify(all->transport, connection->port);
	if (flags & STREAM_MOVED || connection->socket->stream.ring.out_ended)
		connection->moved_turn = all->turn;
	if (flags & STREAM_MORE) {
		run_queue_add(connection);
	} else if (flags & STREAM_WAIT) {
		/* Without memory for the timer it asks again in the next turn. */
		if (loop_arm(all->loop, &connection->wake, wake_ns, run_queue_meter_ready,
			     connection) < 0)
			run_queue_add(connection);
		polled_unmask(connection);
	} else {
		polled_add(connection);
	}
	return flags & STREAM_MOVED;
}

bool run_queue_serve(struct connections *connections)
{
	struct connection *last = connections->run_last;
	bool moved = false;

	while (connections->run_first && !connections->violation.text[0]) {
		struct connection *connection = connections->run_first;

		ASSERT(connection->queued && connection->socket);
		connections->run_first = connection->next;
		if (!connections->run_first)
			connections->run_last = NULL;
		connection->queued = false;
		moved |= run_queue_pass(connection);
		if (connection == last)
			break;
	}
	return moved;
}
