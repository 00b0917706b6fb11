/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sock/stream.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "call/wire_errno.h"

void stream_start(struct stream *stream, int fd, struct meter *meter_in, struct meter *meter_out)
{
	ASSERT(fd >= 0);
	stream->fd = fd;
	stream->readable = false;
	stream->writable = true;
	stream->hung_up = false;
	stream->shut = false;
	stream->lost = 0;
	stream->bytes_in = 0;
	stream->bytes_out = 0;
	stream->bytes_over = 0;
	stream->meter_in = meter_in;
	stream->meter_out = meter_out;
}

void stream_stop(struct stream *stream)
{
	meter_unref(stream->meter_in);
	meter_unref(stream->meter_out);
	stream->meter_in = NULL;
	stream->meter_out = NULL;
}

void stream_event(struct stream *stream, uint32_t events)
{
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		stream->readable = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		stream->writable = true;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		stream->hung_up = true;
}

void stream_abort(struct stream *stream, int error)
{
	ASSERT(error < 0);
	data_ring_in_end(&stream->ring, wire_errno(error));
	data_ring_out_end(&stream->ring, wire_errno(error == -ENOTCONN ? -EPIPE : error));
}

/* One direction's answer: bytes moved, 0 when it must wait for something, or -EPROTO. */
struct stream_step {
	ssize_t moved;
	int flags;
};

/* The socket has no more bytes: orderly end, or an error that ends both directions. */
static int stream_read_ended(struct stream *stream, ssize_t result)
{
	if (result == 0) {
		data_ring_in_end(&stream->ring, stream->lost ? stream->lost : -ENOTCONN);
		return STREAM_NOTIFY;
	}
	if (errno == EAGAIN) {
		stream->readable = false;
		return 0;
	}
	if (errno == EINTR)
		return STREAM_MORE;
	stream_abort(stream, -errno);
	return STREAM_NOTIFY;
}

/* Socket to guest: at most budget bytes. */
static struct stream_step stream_pump_in(struct stream *stream, size_t budget)
{
	struct ring_span span;
	struct stream_step step = {0, 0};
	ssize_t room = data_ring_in_room(&stream->ring, budget, &span);
	ssize_t got;

	if (room <= 0) {
		step.moved = room;
		return step;
	}
	got = span.parts == 1 ? read(stream->fd, span.part[0].iov_base, span.part[0].iov_len)
			      : readv(stream->fd, span.part, span.parts);
	if (got <= 0) {
		step.flags = stream_read_ended(stream, got);
		return step;
	}
	/* Less than asked for: the socket is empty, unless its end is still to be read. */
	if (got < room && !stream->hung_up)
		stream->readable = false;
	if (data_ring_in_commit(&stream->ring, (size_t)got))
		step.flags = STREAM_NOTIFY;
	stream->bytes_in += (uint64_t)got;
	step.moved = got;
	return step;
}

static int stream_write_ended(struct stream *stream)
{
	if (errno == EAGAIN) {
		stream->writable = false;
		return 0;
	}
	if (errno == EINTR)
		return STREAM_MORE;
	/*
	 * Bytes that arrived before a reset are still read. A socket tells its error once, and that
	 * was now; EPIPE is none of its own: there the end is that of a peer that ended before.
	 */
	if (errno != EPIPE)
		stream->lost = wire_errno(-errno);
	data_ring_out_end(&stream->ring, wire_errno(-errno));
	stream->readable = true;
	return STREAM_NOTIFY | STREAM_MORE;
}

/* One part, the usual case, is spared the kernel's copying of a message header. */
static ssize_t stream_send_span(int fd, struct ring_span *span)
{
	struct msghdr message = {.msg_iov = span->part, .msg_iovlen = (size_t)span->parts};

	if (span->parts == 1)
		return send(fd, span->part[0].iov_base, span->part[0].iov_len,
			    MSG_NOSIGNAL | MSG_DONTWAIT);
	return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Guest to socket: at most budget bytes. */
static struct stream_step stream_pump_out(struct stream *stream, size_t budget)
{
	struct ring_span span;
	struct stream_step step = {0, 0};
	ssize_t bytes = data_ring_out_bytes(&stream->ring, budget, &span);
	ssize_t sent;

	if (bytes <= 0) {
		step.moved = bytes;
		return step;
	}
	sent = stream_send_span(stream->fd, &span);
	if (sent < 0) {
		step.flags = stream_write_ended(stream);
		return step;
	}
	if (sent < bytes)
		stream->writable = false;
	if (data_ring_out_commit(&stream->ring, (size_t)sent))
		step.flags = STREAM_NOTIFY;
	stream->bytes_out += (uint64_t)sent;
	step.moved = sent;
	return step;
}

struct stream_direction {
	struct stream_step (*pump)(struct stream *stream, size_t budget);
	const bool *ready;
	const bool *ended;
	struct meter *meter;
};

/*
 * At most half a ring at once: the guest then works on one half while we work on the other, instead
 * of each waiting for the other's whole.
 */
static size_t stream_chunk(const struct stream *stream, size_t allowed)
{
	return allowed < stream->ring.size / 2 ? allowed : stream->ring.size / 2;
}

/* Repeats one direction until it must wait or its budget is used up. */
static int stream_run(struct stream *stream, const struct stream_direction *direction,
		      size_t budget, uint64_t now_ns, uint64_t *wake_ns)
{
	int flags = 0;

	while (budget && *direction->ready && !*direction->ended) {
		size_t allowed = meter_allows(direction->meter, budget, now_ns);
		struct stream_step step;

		if (!allowed) {
			uint64_t ready_ns = meter_ready_ns(direction->meter, now_ns);

			if (!(flags & STREAM_WAIT) && ready_ns < *wake_ns)
				*wake_ns = ready_ns;
			return flags | STREAM_WAIT;
		}
		step = direction->pump(stream, stream_chunk(stream, allowed));
		if (step.moved < 0)
			return (int)step.moved;
		flags |= step.flags;
		if (step.moved == 0)
			return flags;
		flags |= STREAM_MOVED;
		stream->bytes_over += meter_take(direction->meter, (size_t)step.moved);
		budget -= (size_t)step.moved;
	}
	return budget ? flags : flags | STREAM_MORE;
}

/*
 * The guest writes no more, and the socket has all of it. A meter has no say: there is nothing left
 * to hold back. Where it fails the connection is over, which the other direction finds out.
 */
static int stream_end_out(struct stream *stream)
{
	if (stream->shut || stream->ring.out_ended || !data_ring_out_drained(&stream->ring))
		return 0;
	stream->shut = true;
	(void)shutdown(stream->fd, SHUT_WR);
	return STREAM_MOVED;
}

bool stream_has_output(const struct stream *stream)
{
	struct ring_span span;

	return !stream->ring.out_ended && data_ring_out_bytes(&stream->ring, 1, &span) > 0;
}

bool stream_sends_at_once(const struct stream *stream)
{
	struct ring_span span;
	size_t most = stream_chunk(stream, stream->ring.size);

	return data_ring_out_bytes(&stream->ring, most + 1, &span) <= (ssize_t)most;
}

bool stream_has_work(const struct stream *stream)
{
	const struct data_ring *ring = &stream->ring;
	struct ring_span span;

	return data_ring_out_closing(ring) ||
	       (stream->writable && !ring->out_ended && data_ring_out_bytes(ring, 1, &span) != 0) ||
	       (stream->readable && !ring->in_ended && data_ring_in_room(ring, 1, &span) != 0);
}

int stream_pump(struct stream *stream, size_t budget, uint64_t now_ns, uint64_t *wake_ns)
{
	const struct stream_direction out = {stream_pump_out, &stream->writable,
					     &stream->ring.out_ended, stream->meter_out};
	const struct stream_direction in = {stream_pump_in, &stream->readable,
					    &stream->ring.in_ended, stream->meter_in};
	int sent;
	int got;

	ASSERT(budget > 0);
	*wake_ns = UINT64_MAX;
	if (data_ring_out_closing(&stream->ring))
		data_ring_out_close(&stream->ring);
	sent = stream_run(stream, &out, budget, now_ns, wake_ns);
	if (sent < 0)
		return sent;
	sent |= stream_end_out(stream);
	got = stream_run(stream, &in, budget, now_ns, wake_ns);
	return got < 0 ? got : sent | got;
}
