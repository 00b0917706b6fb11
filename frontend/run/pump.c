/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation. Bytes go straight between our end of the pair and the ring's pages: recvmsg
 * and sendmsg with at most two parts, no buffer. Our end is watched edge-triggered, and what it can
 * do is remembered in can_read and can_write until a call says otherwise; the ring's events put the
 * endpoint into the same queue. An endpoint moves at most BUDGET bytes in each direction, then it
 * goes to the end of the queue.
 *
 * Ends: a stream's end in the ring shuts our end down for writing, so the program reads what is
 * left and then the end. A reset closes it with a byte unread. When the last process has closed the
 * program's end, what it wrote goes to the ring first and the socket is released then. After
 * shutdown(SHUT_WR) the ring is told that these were the last bytes; a backend that has no such end
 * (Linux's) lets the peer see it when the program has closed the socket or the peer has ended its
 * own direction.
 */
#include "pump.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "endpoint.h"

#define BUDGET (512u << 10)

static void enqueue(struct endpoint *endpoint)
{
	struct run *run = endpoint->run;

	if (endpoint->queued)
		return;
	endpoint->queued = true;
	endpoint->ready = NULL;
	if (run->pump_first)
		run->pump_last->ready = endpoint;
	else
		run->pump_first = endpoint;
	run->pump_last = endpoint;
}

static void ring_event(struct pvcalls_front_socket *socket, void *owner)
{
	(void)socket;
	enqueue(owner);
}

void pump_start(struct endpoint *endpoint)
{
	endpoint->run->streams++;
	pvcalls_front_watch(endpoint->remote, ring_event, endpoint);
	endpoint->can_read = true;
	endpoint->can_write = true;
	enqueue(endpoint);
}

static bool would_block(void)
{
	return errno == EAGAIN || errno == EINTR;
}

/* Program to ring. Returns whether there may be more to move at once. */
static bool pump_out(struct endpoint *endpoint)
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
			shutdown(endpoint->source.fd, SHUT_RD);
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
		if (bytes == 0 || (bytes < 0 && !would_block()))
			endpoint->out_done = true;
	}
	return false;
}

static void discard(struct endpoint *endpoint, size_t bytes)
{
	endpoint->in_discarded = true;
	pvcalls_front_consume(endpoint->remote, bytes);
}

static void finish_in(struct endpoint *endpoint, int error)
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
static bool pump_in(struct endpoint *endpoint)
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
			finish_in(endpoint, (int)there);
			return false;
		}
		if (endpoint->in_discarded) {
			discard(endpoint, (size_t)there);
			continue;
		}
		header.msg_iovlen = span[1].iov_len ? 2 : 1;
		bytes = sendmsg(endpoint->source.fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (bytes > 0) {
			pvcalls_front_consume(endpoint->remote, (size_t)bytes);
			moved += (size_t)bytes;
		} else if (would_block()) {
			endpoint->can_write = false;
		} else {
			discard(endpoint, (size_t)there);
		}
	}
	return false;
}

/* One turn of an endpoint; ends it when both directions are finished. */
static void pump(struct endpoint *endpoint)
{
	bool more;

	if (endpoint->state != ENDPOINT_CONNECTED)
		return;
	more = pump_out(endpoint);
	if (pump_in(endpoint))
		more = true;
	if (endpoint->out_done && (endpoint->in_done || endpoint->hung_up)) {
		endpoint_end(endpoint);
		return;
	}
	if (endpoint->out_done)
		(void)pvcalls_front_shutdown(endpoint->remote);
	if (more)
		enqueue(endpoint);
}

bool pump_turn(struct run *run)
{
	struct endpoint *endpoint = run->pump_first;

	run->pump_first = NULL;
	while (endpoint) {
		struct endpoint *next = endpoint->ready;

		endpoint->queued = false;
		pump(endpoint);
		endpoint = next;
	}
	return run->pump_first != NULL;
}

void pump_event(struct source *source, uint32_t events)
{
	struct endpoint *endpoint =
		(struct endpoint *)((char *)source - offsetof(struct endpoint, source));

	if (events & (EPOLLHUP | EPOLLERR))
		endpoint->hung_up = true;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		endpoint->ending = true;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		endpoint->can_read = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		endpoint->can_write = true;
	if (endpoint->state == ENDPOINT_CONNECTED)
		enqueue(endpoint);
	else if (endpoint->hung_up && endpoint->state != ENDPOINT_GONE)
		endpoint_end(endpoint);
}
