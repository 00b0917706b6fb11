/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation. Bytes go straight between our end of the pair and the ring's pages: recvmsg
 * and sendmsg with at most two parts, no buffer. Our end is watched edge-triggered, and what it can
 * do is remembered in can_read and can_write until a call says otherwise; the ring's events put the
 * endpoint into the same queue. An endpoint moves at most BUDGET bytes in each direction, then it
 * goes to the end of the queue.
 *
 * Ends: a stream's end in the ring shuts our end down for writing, so the program reads what is
 * left and then the end. A reset closes it with a byte unread (reset_mark.c). When the last process
 * has closed the program's end, what it wrote goes to the ring first and the socket is released
 * then. After shutdown(SHUT_WR) the ring is told that these were the last bytes; a backend that has
 * no such end (Linux's) lets the peer see it when the program has closed the socket or the peer has
 * ended its own direction.
 */
#include "run/endpoints/byte_pump.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "run/endpoints/reset_mark.h"

#define BUDGET (512u << 10)

static void byte_pump_ring_event(struct pvcalls_front_socket *socket, void *owner)
{
	(void)socket;
	endpoint_queue(owner);
}

void byte_pump_start(struct endpoint *endpoint)
{
	ASSERT(endpoint->state == ENDPOINT_CONNECTED && endpoint->remote);
	endpoint->table->streams++;
	pvcalls_front_watch(endpoint->remote, byte_pump_ring_event, endpoint);
	endpoint->can_read = true;
	endpoint->can_write = true;
	endpoint_queue(endpoint);
}

static bool byte_pump_would_block(void)
{
	return errno == EAGAIN || errno == EINTR;
}

/* Program to ring. Returns whether there may be more to move at once. */
static bool byte_pump_out(struct endpoint *endpoint)
{
	struct iovec span[2];
	struct msghdr header = {.msg_iov = span};
	size_t moved = 0;

	while (endpoint->can_read && !endpoint->out_done) {
		ssize_t room = pvcalls_front_writable(endpoint->remote, span);
		ssize_t bytes;

		if (moved >= BUDGET)
			return true;
		if (room == -EAGAIN)
			return false;
		if (room < 0) {
			/* The peer takes no more: the program's next write fails. */
			endpoint_refuse(endpoint);
			endpoint->out_done = true;
			return false;
		}
		if (reset_mark_reached(endpoint)) {
			endpoint->out_done = true;
			return false;
		}
		header.msg_iovlen = span[1].iov_len ? 2 : 1;
		bytes = recvmsg(endpoint->source.fd, &header, MSG_DONTWAIT);
		if (bytes > 0) {
			pvcalls_front_commit(endpoint->remote, (size_t)bytes);
			moved += (size_t)bytes;
		}
		/* Less than there was room for: that was all, unless the end follows it. */
		if (bytes < room && (bytes <= 0 || !endpoint->ending))
			endpoint->can_read = false;
		if (bytes == 0 || (bytes < 0 && !byte_pump_would_block()))
			endpoint->out_done = true;
	}
	return false;
}

static void byte_pump_discard(struct endpoint *endpoint, size_t bytes)
{
	endpoint->in_discarded = true;
	pvcalls_front_consume(endpoint->remote, bytes);
}

static void byte_pump_finish_in(struct endpoint *endpoint, int error)
{
	endpoint->in_done = true;
	if (error == 0) {
		shutdown(endpoint->source.fd, SHUT_WR);
		return;
	}
	endpoint->error = -error;
	endpoint_reset(endpoint);
	endpoint->out_done = true;
}

/* Ring to program. Returns whether there may be more to move at once. */
static bool byte_pump_in(struct endpoint *endpoint)
{
	struct iovec span[2];
	struct msghdr header = {.msg_iov = span};
	size_t moved = 0;

	while (endpoint->can_write && !endpoint->in_done) {
		ssize_t there = pvcalls_front_readable(endpoint->remote, span);
		ssize_t bytes;

		if (moved >= BUDGET)
			return true;
		if (there == -EAGAIN)
			return false;
		if (there <= 0) {
			byte_pump_finish_in(endpoint, (int)there);
			return false;
		}
		if (endpoint->in_discarded) {
			byte_pump_discard(endpoint, (size_t)there);
			continue;
		}
		header.msg_iovlen = span[1].iov_len ? 2 : 1;
		bytes = sendmsg(endpoint->source.fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (bytes > 0) {
			pvcalls_front_consume(endpoint->remote, (size_t)bytes);
			moved += (size_t)bytes;
		} else if (byte_pump_would_block()) {
			endpoint->can_write = false;
		} else {
			byte_pump_discard(endpoint, (size_t)there);
		}
	}
	return false;
}

/* The own address outlives the stream, so it is the last thing to be asked. Whether it is awaited.
 */
static bool byte_pump_ask_local(struct endpoint *endpoint)
{
	int error;

	if (endpoint->local.sin_port)
		return false;
	error = pvcalls_front_ask_local(endpoint->remote, endpoint->table->local_done, endpoint);
	if (error == -EALREADY)
		pvcalls_front_names(endpoint->remote, &endpoint->local, NULL);
	return !error || error == -EBUSY;
}

/* Both directions are finished, and the program may have its end still. */
static void byte_pump_finish(struct endpoint *endpoint)
{
	/* A getsockname() that waits has the endpoint queued again when it is answered. */
	if (endpoint->waiting || byte_pump_ask_local(endpoint))
		return;
	reset_mark_clear(endpoint);
	endpoint_finish(endpoint);
}

/* One turn of an endpoint; ends it when both directions are finished. */
static void byte_pump_move(struct endpoint *endpoint)
{
	bool more;

	if (endpoint->state != ENDPOINT_CONNECTED)
		return;
	more = byte_pump_out(endpoint);
	if (byte_pump_in(endpoint))
		more = true;
	if (endpoint->out_done && endpoint->hung_up && !endpoint->shut_read) {
		endpoint_end(endpoint);
		return;
	}
	if (endpoint->out_done && (endpoint->in_done || endpoint->hung_up)) {
		byte_pump_finish(endpoint);
		return;
	}
	if (endpoint->out_done)
		(void)pvcalls_front_shutdown(endpoint->remote);
	if (more)
		endpoint_queue(endpoint);
}

bool byte_pump_turn(struct endpoint_table *table)
{
	struct endpoint *endpoint = table->pump_first;

	table->pump_first = NULL;
	while (endpoint) {
		struct endpoint *next = endpoint->ready;

		ASSERT(endpoint->queued);
		endpoint->queued = false;
		byte_pump_move(endpoint);
		endpoint = next;
	}
	return table->pump_first;
}
