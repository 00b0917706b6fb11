/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sock/linger.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fd.h"
#include "sock/socket.h"

/* One released socket. */
struct tail {
	struct linger_list *list;
	struct tail *next;
	struct tail *previous;
	struct loop_source source;
	struct loop_timer patience;
	int fd;
	size_t bytes;
	size_t sent;
	uint8_t data[];
};

struct linger_list {
	struct loop *loop;
	struct tail *first;
	size_t bytes;
};

struct linger_list *linger_list_create(struct loop *loop)
{
	struct linger_list *list = calloc(1, sizeof(*list));

	if (list)
		list->loop = loop;
	return list;
}

static void end(struct tail *tail)
{
	struct linger_list *list = tail->list;

	loop_remove(list->loop, &tail->source);
	loop_disarm(list->loop, &tail->patience);
	fd_close(&tail->fd);
	if (tail->next)
		tail->next->previous = tail->previous;
	if (tail->previous)
		tail->previous->next = tail->next;
	else
		list->first = tail->next;
	list->bytes -= tail->bytes;
	free(tail);
}

void linger_list_free(struct linger_list *list)
{
	struct tail *next;
	struct tail *tail;

	if (!list)
		return;
	for (tail = list->first; tail; tail = next) {
		next = tail->next;
		end(tail);
	}
	free(list);
}

size_t linger_bytes(const struct linger_list *list)
{
	return list->bytes;
}

static void lost_patience(struct loop_timer *timer)
{
	struct tail *tail = timer->owner;

	loop_remove(tail->list->loop, &tail->source);
	socket_reset(tail->fd);
	tail->fd = -1;
	end(tail);
}

static void writable(struct loop_source *source, uint32_t events)
{
	struct tail *tail = source->owner;
	ssize_t sent = send(tail->fd, tail->data + tail->sent, tail->bytes - tail->sent,
			    MSG_NOSIGNAL | MSG_DONTWAIT);

	(void)events;
	if (sent < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (sent < 0) {
		end(tail);
		return;
	}
	tail->sent += (size_t)sent;
	if (tail->sent == tail->bytes ||
	    loop_arm(tail->list->loop, &tail->patience, clock_monotonic_ns() + LINGER_NS,
		     lost_patience, tail) < 0)
		end(tail);
}

static void copy(uint8_t *to, const struct ring_span *span, size_t bytes)
{
	size_t first = span->part[0].iov_len < bytes ? span->part[0].iov_len : bytes;

	memcpy(to, span->part[0].iov_base, first);
	memcpy(to + first, span->part[1].iov_base, bytes - first);
}

int linger_add(struct linger_list *list, int fd, const struct ring_span *span, size_t bytes)
{
	struct tail *tail;
	int error;

	if (bytes == 0) {
		fd_close(&fd);
		return 0;
	}
	if (bytes > LINGER_BYTES_MAX - list->bytes)
		return -ENOBUFS;
	tail = calloc(1, sizeof(*tail) + bytes);
	if (!tail)
		return -ENOMEM;
	copy(tail->data, span, bytes);
	tail->list = list;
	tail->fd = fd;
	tail->bytes = bytes;
	error = loop_add(list->loop, &tail->source, fd, EPOLLOUT, writable, tail);
	if (!error)
		error = loop_arm(list->loop, &tail->patience, clock_monotonic_ns() + LINGER_NS,
				 lost_patience, tail);
	if (error) {
		loop_remove(list->loop, &tail->source);
		free(tail);
		return error;
	}
	tail->next = list->first;
	if (list->first)
		list->first->previous = tail;
	list->first = tail;
	list->bytes += bytes;
	return 0;
}
