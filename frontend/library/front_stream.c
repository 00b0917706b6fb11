/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bytes: the data rings as callers see them. */
#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "library/front.h"
#include "library/front_socket.h"

#define BULK_BYTES 16384u /* worth waking the backend for at once */

/* While corked, small transfers of many sockets wake the backend once and together. */
static void front_stream_wake(struct pvcalls_front_socket *socket, size_t bytes)
{
	struct front_transport *transport = socket->front->transport;

	if (socket->front->corked && bytes < BULK_BYTES)
		transport->ops->mark(transport, socket->ring->port);
	else
		transport->ops->notify(transport, socket->ring->port);
}

/* 0, or why nothing can be read or written at all. */
static int front_stream_unusable(const struct pvcalls_front_socket *socket)
{
	if (socket->state != SOCKET_ACTIVE)
		return -ENOTCONN;
	return socket->broken;
}

size_t pvcalls_front_ring_bytes(const struct pvcalls_front_socket *socket)
{
	return DATA_RING_BYTES(socket->order);
}

ssize_t pvcalls_front_readable(struct pvcalls_front_socket *socket, struct iovec span[2])
{
	int error = front_stream_unusable(socket);
	ssize_t bytes;

	if (error)
		return error;
	/* The error is loaded first: once it is there, no byte follows what in_prod then says. */
	error = front_ring_in_error(socket->ring);
	bytes = front_ring_readable(socket->ring, span);
	if (bytes < 0)
		socket->broken = (int)bytes;
	if (bytes)
		return bytes;
	if (error)
		return error == -ENOTCONN ? 0 : error;
	return socket->front->error ? -ECONNRESET : -EAGAIN;
}

void pvcalls_front_consume(struct pvcalls_front_socket *socket, size_t bytes)
{
	ASSERT(socket->state == SOCKET_ACTIVE);
	if (front_ring_consume(socket->ring, bytes))
		front_stream_wake(socket, bytes);
}

ssize_t pvcalls_front_writable(struct pvcalls_front_socket *socket, struct iovec span[2])
{
	int error = front_stream_unusable(socket);
	ssize_t room;

	if (!error)
		error = front_ring_out_error(socket->ring);
	if (!error && socket->shut)
		error = -EPIPE;
	if (!error && socket->front->error)
		error = -ECONNRESET;
	if (error)
		return error;
	room = front_ring_writable(socket->ring, span);
	if (room < 0)
		socket->broken = (int)room;
	return room ? room : -EAGAIN;
}

void pvcalls_front_commit(struct pvcalls_front_socket *socket, size_t bytes)
{
	ASSERT(socket->state == SOCKET_ACTIVE);
	if (front_ring_commit(socket->ring, bytes))
		front_stream_wake(socket, bytes);
}

int pvcalls_front_shutdown(struct pvcalls_front_socket *socket)
{
	int error = front_stream_unusable(socket);

	if (error || socket->shut)
		return error;
	if (!socket->front->half_close)
		return -EOPNOTSUPP;
	socket->shut = true;
	front_ring_end(socket->ring);
	front_stream_wake(socket, 0);
	return 0;
}

ssize_t pvcalls_front_unsent(struct pvcalls_front_socket *socket)
{
	int error = front_stream_unusable(socket);
	ssize_t room = error ? error : front_ring_writable(socket->ring, NULL);

	return room < 0 ? room : (ssize_t)socket->ring->size - room;
}

static size_t front_stream_least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Bytes of each part of a span that a transfer of size bytes takes. */
static void front_stream_cut(struct iovec span[2], size_t size)
{
	span[0].iov_len = front_stream_least(span[0].iov_len, size);
	span[1].iov_len = size - span[0].iov_len;
}

static void front_stream_copy(void *to, const void *from, size_t size)
{
	if (size > 0 && to && from)
		memcpy(to, from, size);
}

ssize_t pvcalls_front_read(struct pvcalls_front_socket *socket, void *buffer, size_t size)
{
	struct iovec span[2] = {{0}};
	ssize_t bytes = pvcalls_front_readable(socket, span);

	if (bytes <= 0)
		return bytes;
	size = front_stream_least(size, (size_t)bytes);
	front_stream_cut(span, size);
	front_stream_copy(buffer, span[0].iov_base, span[0].iov_len);
	front_stream_copy((char *)buffer + span[0].iov_len, span[1].iov_base, span[1].iov_len);
	pvcalls_front_consume(socket, size);
	return (ssize_t)size;
}

ssize_t pvcalls_front_write(struct pvcalls_front_socket *socket, const void *buffer, size_t size)
{
	struct iovec span[2] = {{0}};
	ssize_t room = pvcalls_front_writable(socket, span);

	if (room <= 0)
		return room;
	size = front_stream_least(size, (size_t)room);
	front_stream_cut(span, size);
	front_stream_copy(span[0].iov_base, buffer, span[0].iov_len);
	front_stream_copy(span[1].iov_base, (const char *)buffer + span[0].iov_len,
			  span[1].iov_len);
	pvcalls_front_commit(socket, size);
	return (ssize_t)size;
}
