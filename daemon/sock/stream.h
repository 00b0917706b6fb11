/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A stream: one connected socket joined to one data ring.
 *
 * Theory of operation. The socket is edge-triggered: `readable` and `writable` remember what epoll
 * said until a system call says otherwise, so a busy stream costs no epoll call. stream_pump()
 * moves bytes both ways with readv() and sendmsg() straight between socket and ring, as long as
 * there are bytes, room and budget; it holds no byte itself. What stops a direction is always
 * something that will wake the stream again: an event of the socket, an event of the guest (which
 * knows that it must send one, see data_ring.h), a meter's timer, or the engine's run queue when
 * the budget was used up.
 *
 * Ends: the peer's FIN puts -ENOTCONN into in_error after the last byte; an error of the socket,
 * whichever direction finds it out, goes into both, -ENOTCONN never into out_error (Linux frontends
 * would take that for "try again"). Nothing is read or written in a direction after its error. The
 * guest's own end, if it can say it (data_ring_out_closing()), becomes the socket's after the last
 * byte, and the other direction goes on.
 */
#ifndef SOCK_STREAM_H
#define SOCK_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/meter.h"
#include "ring/data_ring.h"

struct stream {
	struct data_ring ring;
	int fd; /* borrowed; non-blocking */
	bool readable;
	bool writable;
	bool hung_up;           /* epoll said that the peer has closed: read to the end */
	bool shut;              /* the peer was told that the guest writes no more */
	int lost;               /* what ended the connection, if writing found it out; wire errno */
	uint64_t bytes_in;      /* put into the guest's ring */
	uint64_t bytes_out;     /* taken from the guest's ring */
	uint64_t bytes_over;    /* both ways: what meters that only count would have held back */
	struct meter *meter_in; /* owned references, may be NULL */
	struct meter *meter_out;
};

/* What a pass of stream_pump() asks of the engine; a set of these. */
#define STREAM_NOTIFY 1 /* tell the guest to look */
#define STREAM_MORE   2 /* the budget was used up: run it again soon */
#define STREAM_WAIT   4 /* a meter holds it back until *wake_ns */
#define STREAM_MOVED  8 /* bytes were moved, or the peer was told of their end */

/* Starts a stream whose socket is connected; takes the references of both meters (may be NULL). */
void stream_start(struct stream *stream, int fd, struct meter *meter_in, struct meter *meter_out);
/* Gives the meters back. */
void stream_stop(struct stream *stream);

/* Remembers what epoll said (EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLHUP, EPOLLERR). */
void stream_event(struct stream *stream, uint32_t events);

/*
 * Moves at most budget bytes in each direction. Returns a set of STREAM_..., or -EPROTO if the
 * guest's indexes are impossible: then the socket must be closed. *wake_ns is set with STREAM_WAIT.
 */
int stream_pump(struct stream *stream, size_t budget, uint64_t now_ns, uint64_t *wake_ns);

/* Whether stream_pump() would find something to do, meters aside: a look at the indexes, no more.
 */
bool stream_has_work(const struct stream *stream);

/* Whether the guest has written bytes that were not sent yet: a look at the indexes. */
bool stream_has_output(const struct stream *stream);
/* Whether what the guest has written goes to the socket in one send. */
bool stream_sends_at_once(const struct stream *stream);

/* Ends both directions with a negative errno, as when the socket is closed under the guest. */
void stream_abort(struct stream *stream, int error);

#endif
