/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sock/lingering.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "base/fd.h"
#include "sock/socket.h"

/* One released socket, with a copy of what is still to be sent. */
struct lingering_socket {
	struct lingering *lingering;
	struct lingering_socket *next;
	struct lingering_socket *previous;
	struct loop_source source;
	struct loop_timer timer; /* LINGERING_NS after the peer last took bytes */
	int fd;
	size_t bytes;
	size_t sent;
	uint8_t data[];
};

struct lingering {
	struct loop *loop;
	struct lingering_socket *first;
	size_t bytes; /* copied for all of them */
};

struct lingering *lingering_create(struct loop *loop)
{
	struct lingering *lingering = calloc(1, sizeof(*lingering));

	if (lingering)
		lingering->loop = loop;
	return lingering;
}

static void lingering_close(struct lingering_socket *socket)
{
	struct lingering *lingering = socket->lingering;

	ASSERT(socket->bytes <= lingering->bytes);
	loop_remove(lingering->loop, &socket->source);
	loop_disarm(lingering->loop, &socket->timer);
	fd_close(&socket->fd);
	if (socket->next)
		socket->next->previous = socket->previous;
	if (socket->previous)
		socket->previous->next = socket->next;
	else
		lingering->first = socket->next;
	lingering->bytes -= socket->bytes;
	free(socket);
}

void lingering_free(struct lingering *lingering)
{
	struct lingering_socket *socket;
	struct lingering_socket *next;

	if (!lingering)
		return;
	for (socket = lingering->first; socket; socket = next) {
		next = socket->next;
		lingering_close(socket);
	}
	free(lingering);
}

size_t lingering_bytes(const struct lingering *lingering)
{
	return lingering->bytes;
}

/* The peer has taken nothing for LINGERING_NS. */
static void lingering_expired(struct loop_timer *timer)
{
	struct lingering_socket *socket = timer->owner;

	loop_remove(socket->lingering->loop, &socket->source);
	socket_reset(socket->fd);
	socket->fd = -1;
	lingering_close(socket);
}

static int lingering_wait(struct lingering_socket *socket)
{
	struct loop *loop = socket->lingering->loop;

	return loop_arm(loop, &socket->timer, loop_now_ns(loop) + LINGERING_NS, lingering_expired,
			socket);
}

static void lingering_writable(struct loop_source *source, uint32_t events)
{
	struct lingering_socket *socket = source->owner;
	ssize_t sent = send(socket->fd, socket->data + socket->sent, socket->bytes - socket->sent,
			    MSG_NOSIGNAL | MSG_DONTWAIT);

	(void)events;
	if (sent < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (sent < 0) {
		lingering_close(socket);
		return;
	}
	socket->sent += (size_t)sent;
	/* Its timer is in the heap already, so arming it anew takes no memory. */
	if (socket->sent == socket->bytes || lingering_wait(socket) < 0)
		lingering_close(socket);
}

static void lingering_copy(uint8_t *to, const struct ring_span *span, size_t bytes)
{
	size_t first = span->part[0].iov_len < bytes ? span->part[0].iov_len : bytes;

	memcpy(to, span->part[0].iov_base, first);
	if (first < bytes)
		memcpy(to + first, span->part[1].iov_base, bytes - first);
}

int lingering_add(struct lingering *lingering, int fd, const struct ring_span *span, size_t bytes)
{
	struct lingering_socket *socket;
	int error;

	ASSERT(fd >= 0 && bytes > 0);
	ASSERT(lingering->bytes <= LINGERING_BYTES_MAX);
	if (bytes > LINGERING_BYTES_MAX - lingering->bytes)
		return -ENOBUFS;
	socket = calloc(1, sizeof(*socket) + bytes);
	if (!socket)
		return -ENOMEM;
	lingering_copy(socket->data, span, bytes);
	socket->lingering = lingering;
	socket->fd = fd;
	socket->bytes = bytes;
	error = loop_add(lingering->loop, &socket->source, fd, EPOLLOUT, lingering_writable,
			 socket);
	if (!error)
		error = lingering_wait(socket);
	if (error) {
		loop_remove(lingering->loop, &socket->source);
		free(socket);
		return error;
	}
	socket->next = lingering->first;
	if (lingering->first)
		lingering->first->previous = socket;
	lingering->first = socket;
	lingering->bytes += bytes;
	return 0;
}
