// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Bytes of a connection, and its end, as TCP shows them to programs.
 *
 * The backend's in_error and out_error are turned into sk_err and sk_shutdown once, when first
 * seen: a read or write says the error, later ones say end of file or EPIPE. Whoever waits sleeps
 * on the socket's wait queue, never on the mutex of a direction, which is held only while bytes are
 * copied.
 */
#include <asm/ioctls.h>
#include <linux/sched/signal.h>
#include <linux/sockios.h>
#include <net/inet_common.h>

#include "hook_socket.h"

/* The interrupt and a program may do it at once. */
static void add_shutdown(struct sock *sk, u8 shutdown)
{
	set_mask_bits(&sk->sk_shutdown, 0, shutdown);
}

static void end_direction(struct sock *sk, int error, int shutdown)
{
	/* -ENOTCONN is the peer's orderly end, or an end that out_error should not have that way.
	 */
	if (error != -ENOTCONN) {
		WRITE_ONCE(sk->sk_err, error < 0 ? -error : ECONNRESET);
		shutdown = SHUTDOWN_MASK;
	}
	add_shutdown(sk, shutdown);
}

static void note_ends(struct hook_socket *socket)
{
	int in_error = ring_in_error(socket->ring);
	int out_error = ring_out_error(socket->ring);

	if (in_error && !xchg(&socket->in_reported, true))
		end_direction(&socket->sk, in_error, RCV_SHUTDOWN);
	if (out_error && !xchg(&socket->out_reported, true))
		end_direction(&socket->sk, out_error, SEND_SHUTDOWN);
}

/* What poll says of a connection, without what it waits for. */
static __poll_t stream_mask(struct hook_socket *socket)
{
	struct sock *sk = &socket->sk;
	__poll_t mask = 0;
	int shutdown;

	note_ends(socket);
	/* An end is published after the bytes before it: look in the reverse order. */
	smp_rmb();
	shutdown = READ_ONCE(sk->sk_shutdown);
	if (shutdown == SHUTDOWN_MASK)
		mask |= EPOLLHUP;
	if (shutdown & RCV_SHUTDOWN)
		mask |= EPOLLIN | EPOLLRDNORM | EPOLLRDHUP;
	if (ring_readable(socket->ring))
		mask |= EPOLLIN | EPOLLRDNORM;
	if ((shutdown & SEND_SHUTDOWN) || ring_room(socket->ring))
		mask |= EPOLLOUT | EPOLLWRNORM;
	if (READ_ONCE(sk->sk_err))
		mask |= EPOLLERR;
	return mask;
}

void stream_event(struct sock *sk)
{
	struct hook_socket *socket = hook_socket(sk);
	__poll_t mask;

	if (READ_ONCE(sk->sk_state) != TCP_ESTABLISHED)
		return;
	mask = stream_mask(socket);
	if (mask || READ_ONCE(socket->asking))
		socket_wake(sk, mask);
}

static __poll_t poll_listener(struct hook_socket *socket)
{
	/* An error is told by accept(). */
	if (accept_begin(socket) || accept_ready(socket))
		return EPOLLIN | EPOLLRDNORM;
	return 0;
}

__poll_t socket_poll(struct file *file, struct socket *sock, poll_table *wait)
{
	struct hook_socket *socket = hook_socket(sock->sk);
	__poll_t mask;

	sock_poll_wait(file, sock, wait);
	switch (socket->sk.sk_state) {
	case TCP_LISTEN:
		return poll_listener(socket);
	case TCP_SYN_SENT:
		return 0;
	case TCP_ESTABLISHED:
		return stream_mask(socket);
	default:
		/* As TCP: never connected, or failed to. */
		mask = EPOLLOUT | EPOLLWRNORM | EPOLLHUP;
		if (READ_ONCE(socket->sk.sk_err))
			mask |= EPOLLERR | EPOLLIN | EPOLLRDNORM | EPOLLRDHUP;
		return mask;
	}
}

static bool can_read(struct hook_socket *socket, u32 more_than)
{
	struct sock *sk = &socket->sk;

	if (sk->sk_state == TCP_SYN_SENT)
		return false;
	if (sk->sk_state != TCP_ESTABLISHED)
		return true;
	note_ends(socket);
	return ring_readable(socket->ring) > more_than || sk->sk_err ||
	       (sk->sk_shutdown & RCV_SHUTDOWN);
}

static bool can_write(struct hook_socket *socket)
{
	struct sock *sk = &socket->sk;

	if (sk->sk_state == TCP_SYN_SENT)
		return false;
	if (sk->sk_state != TCP_ESTABLISHED)
		return true;
	note_ends(socket);
	return ring_room(socket->ring) || sk->sk_err || (sk->sk_shutdown & SEND_SHUTDOWN);
}

/*
 * Returns what is left of the time, or why not to go on. A peek that wants more than is there can't
 * wait for an event: the backend owes none as long as nothing is taken.
 */
static long wait_readable(struct hook_socket *socket, u32 peeked, long timeout)
{
	long left;

	if (!timeout)
		return -EAGAIN;
	if (peeked)
		left = wait_event_interruptible_timeout(*sk_sleep(&socket->sk),
							can_read(socket, peeked),
							min_t(long, timeout, HZ / 50 + 1));
	else
		left = wait_event_interruptible_timeout(*sk_sleep(&socket->sk), can_read(socket, 0),
							timeout);
	if (left < 0)
		return sock_intr_errno(timeout);
	if (left == 0 && peeked && timeout > HZ / 50 + 1)
		return timeout == MAX_SCHEDULE_TIMEOUT ? timeout : timeout - (HZ / 50 + 1);
	return left ?: -EAGAIN;
}

static ssize_t read_some(struct hook_socket *socket, struct msghdr *msg, size_t length, int flags,
			 size_t copied)
{
	struct iov_iter *to = (flags & MSG_TRUNC) ? NULL : &msg->msg_iter;
	bool peek = flags & MSG_PEEK;
	ssize_t bytes;

	if (mutex_lock_interruptible(&socket->in_mutex))
		return -ERESTARTSYS;
	bytes = ring_read(socket->ring, to, length, peek, peek ? copied : 0);
	mutex_unlock(&socket->in_mutex);
	return bytes;
}

/*
 * More than `peeked` bytes are not there: 1 if they may still come, else what read() says; an error
 * is left for the next read() if this one has bytes to return.
 */
static int read_end(struct hook_socket *socket, u32 peeked, bool has_bytes)
{
	struct sock *sk = &socket->sk;
	bool connected = sk->sk_state == TCP_ESTABLISHED;

	if (sk->sk_state == TCP_SYN_SENT)
		return 1;
	if (connected)
		note_ends(socket);
	/* Bytes that came before the end. */
	smp_rmb();
	if (connected && ring_readable(socket->ring) > peeked)
		return 1;
	if (sk->sk_err)
		return has_bytes ? 0 : sock_error(sk);
	if (!connected)
		return -ENOTCONN;
	return (sk->sk_shutdown & RCV_SHUTDOWN) ? 0 : 1;
}

static ssize_t receive(struct hook_socket *socket, struct msghdr *msg, size_t length, int flags)
{
	struct sock *sk = &socket->sk;
	long timeout = sock_rcvtimeo(sk, flags & MSG_DONTWAIT);
	size_t target = sock_rcvlowat(sk, flags & MSG_WAITALL, min_t(size_t, length, INT_MAX));
	size_t copied = 0;

	for (;;) {
		u32 peeked = (flags & MSG_PEEK) ? copied : 0;
		ssize_t bytes = 0;
		int end;

		if (sk->sk_state == TCP_ESTABLISHED)
			bytes = read_some(socket, msg, length - copied, flags, copied);
		if (bytes < 0)
			return copied ?: bytes;
		copied += bytes;
		if (copied >= target || copied >= length)
			return copied;
		if (bytes)
			continue;
		end = read_end(socket, peeked, copied);
		if (end <= 0)
			return copied ?: end;
		/* A peek can't see more than the ring holds. */
		if (peeked && peeked >= socket->ring->size)
			return copied;
		timeout = wait_readable(socket, peeked, timeout);
		if (timeout < 0)
			return copied ?: timeout;
	}
}

int socket_recvmsg(struct socket *sock, struct msghdr *msg, size_t length, int flags)
{
	struct hook_socket *socket = hook_socket(sock->sk);

	if (flags & MSG_ERRQUEUE)
		return -EAGAIN;
	if (flags & MSG_OOB)
		return -EINVAL;
	if (socket->sk.sk_state == TCP_LISTEN)
		return -ENOTCONN;
	if (!length)
		return 0;
	return receive(socket, msg, length, flags);
}

static long wait_writable(struct hook_socket *socket, long timeout)
{
	long left;

	if (!timeout)
		return -EAGAIN;
	left = wait_event_interruptible_timeout(*sk_sleep(&socket->sk), can_write(socket), timeout);
	if (left < 0)
		return sock_intr_errno(timeout);
	return left ?: -EAGAIN;
}

/* Why nothing can be written, or 0. */
static int write_end(struct hook_socket *socket)
{
	struct sock *sk = &socket->sk;

	if (sk->sk_state == TCP_SYN_SENT)
		return 0;
	if (sk->sk_state != TCP_ESTABLISHED)
		return sk->sk_err ? sock_error(sk) : -EPIPE;
	note_ends(socket);
	if (sk->sk_err)
		return sock_error(sk);
	return (sk->sk_shutdown & SEND_SHUTDOWN) ? -EPIPE : 0;
}

static ssize_t write_some(struct hook_socket *socket, struct msghdr *msg)
{
	ssize_t bytes;

	if (socket->sk.sk_state != TCP_ESTABLISHED)
		return 0;
	if (mutex_lock_interruptible(&socket->out_mutex))
		return -ERESTARTSYS;
	bytes = ring_write(socket->ring, &msg->msg_iter, msg_data_left(msg));
	mutex_unlock(&socket->out_mutex);
	return bytes;
}

static ssize_t transmit(struct hook_socket *socket, struct msghdr *msg, size_t length, int flags)
{
	long timeout = sock_sndtimeo(&socket->sk, flags & MSG_DONTWAIT);
	size_t sent = 0;

	for (;;) {
		ssize_t bytes = write_end(socket);

		if (!bytes)
			bytes = write_some(socket, msg);
		if (bytes < 0)
			return sent ?: bytes;
		sent += bytes;
		if (sent >= length)
			return sent;
		if (bytes)
			continue;
		timeout = wait_writable(socket, timeout);
		if (timeout < 0)
			return sent ?: timeout;
	}
}

int socket_sendmsg(struct socket *sock, struct msghdr *msg, size_t length)
{
	struct hook_socket *socket = hook_socket(sock->sk);
	int flags = msg->msg_flags;
	ssize_t sent;

	if (flags & (MSG_OOB | MSG_FASTOPEN))
		return -EOPNOTSUPP;
	/* Nobody would tell the program when its pages are its own again. */
	if ((flags & MSG_ZEROCOPY) && sock_flag(&socket->sk, SOCK_ZEROCOPY))
		return -ENOBUFS;
	sent = transmit(socket, msg, length, flags);
	if (sent == -EPIPE)
		return sk_stream_error(&socket->sk, flags, -EPIPE);
	return sent;
}

/* Whoever waits in accept() is told that this listens no more. */
static int shutdown_listener(struct hook_socket *socket, int how)
{
	if (!((how + 1) & RCV_SHUTDOWN))
		return 0;
	smp_store_release(&socket->sk.sk_state, TCP_CLOSE);
	socket_disconnect(socket);
	return 0;
}

/* The peer is told after what was written, if the backend can tell it. */
static void end_writing(struct hook_socket *socket)
{
	mutex_lock(&socket->out_mutex);
	ring_end(socket->ring);
	mutex_unlock(&socket->out_mutex);
}

int socket_shutdown(struct socket *sock, int how)
{
	struct hook_socket *socket = hook_socket(sock->sk);
	struct sock *sk = &socket->sk;
	const __poll_t all = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP;
	int error = 0;

	if (how < SHUT_RD || how > SHUT_RDWR)
		return -EINVAL;
	if (sk->sk_state == TCP_LISTEN)
		error = shutdown_listener(socket, how);
	else if (sk->sk_state != TCP_ESTABLISHED)
		return -ENOTCONN;
	else
		add_shutdown(sk, how + 1);
	/* Both directions: the peer may as well know at once, unless bytes are left to be read. */
	if (sk->sk_shutdown == SHUTDOWN_MASK && socket->ring && !ring_readable(socket->ring))
		socket_disconnect(socket);
	else if (sk->sk_state == TCP_ESTABLISHED && how != SHUT_RD)
		end_writing(socket);
	socket_wake(sk, all);
	return error;
}

int socket_ioctl(struct socket *sock, unsigned int cmd, unsigned long arg)
{
	struct hook_socket *socket = hook_socket(sock->sk);
	bool connected = socket->sk.sk_state == TCP_ESTABLISHED;
	int value = 0;

	switch (cmd) {
	case SIOCINQ:
		if (socket->sk.sk_state == TCP_LISTEN)
			return -EINVAL;
		value = connected ? ring_readable(socket->ring) : 0;
		break;
	case SIOCOUTQ:
	case SIOCOUTQNSD:
		if (socket->sk.sk_state == TCP_LISTEN)
			return -EINVAL;
		value = connected ? ring_unsent(socket->ring) : 0;
		break;
	case SIOCATMARK:
		break;
	default:
		/* Questions about the guest's own interfaces. */
		return inet_ioctl(sock, cmd, arg);
	}
	return put_user(value, (int __user *)arg);
}
