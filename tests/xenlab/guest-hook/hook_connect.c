// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * connect(), as TCP's: CONNECT is answered in the interrupt of the command ring, which moves
 * sk_state and wakes whoever waits, so that signals, time-outs and O_NONBLOCK mean what they mean
 * there.
 */
#include <linux/sched/signal.h>

#include "hook_socket.h"

void socket_established(struct hook_socket *socket)
{
	struct session_peer peer;
	struct ring_names names;

	if (!session_peer(&peer) && peer.names) {
		ring_names(socket->ring, &names);
		socket->local.sin_addr.s_addr = names.local_addr;
		socket->local.sin_port = names.local_port;
		socket->peer.sin_addr.s_addr = names.peer_addr;
		socket->peer.sin_port = names.peer_port;
	}
	socket_set_state(&socket->sk, TCP_ESTABLISHED);
}

static void connect_done(struct session_call *call)
{
	struct hook_socket *socket = container_of(call, struct hook_socket, call);
	struct sock *sk = &socket->sk;
	int error = socket_call_result(socket);

	if (!error) {
		socket_established(socket);
	} else {
		WRITE_ONCE(sk->sk_err, -error);
		socket_set_state(sk, TCP_CLOSE);
	}
	WRITE_ONCE(socket->calling, false);
	socket_wake_all(sk);
	/* Data may have come before the answer. */
	if (!error)
		stream_event(sk);
	socket_done_with(socket);
}

static void forget_done(struct session_call *call)
{
	kfree(call);
}

/* Nobody waits for this one's answer. */
static int release_id(u64 id)
{
	struct session_call *call = kzalloc(sizeof(*call), GFP_KERNEL);

	if (!call)
		return -ENOMEM;
	call->request.cmd = PVCALLS_RELEASE;
	call->request.u.release.id = id;
	call->done = forget_done;
	session_submit(&call, 1);
	return 0;
}

/*
 * An id serves for one connect: backends forget it when that fails. Linux's backend would besides
 * leave a bound socket behind if it were connected under the same id.
 */
static int renew_id(struct hook_socket *socket, const struct session_peer *peer)
{
	int error;

	if (!socket->id || (socket->bind_sent && peer->names && !socket->ring))
		return 0;
	error = release_id(socket->id);
	if (!error) {
		socket->id = 0;
		socket->bind_sent = false;
	}
	return error;
}

/* `control` is held. */
static int connect_begin(struct hook_socket *socket, const struct sockaddr_in *address)
{
	struct xen_pvcalls_connect *connect = &socket->call.request.u.connect;
	struct session_peer peer;

	if (session_peer(&peer))
		return -ENETUNREACH;
	if (renew_id(socket, &peer))
		return -ENOBUFS;
	if (socket->ring && socket->ring->generation != peer.generation)
		return -ENETUNREACH; /* of a backend that is gone; a new socket gets a new one */
	if (socket->ring)
		ring_reset(socket->ring);
	else
		socket->ring = ring_get(&peer);
	if (!socket->ring)
		return -ENOBUFS;
	ring_own(socket->ring, &socket->sk, stream_event);

	socket->peer.sin_addr = address->sin_addr;
	socket->peer.sin_port = address->sin_port;
	socket_prepare(socket, PVCALLS_CONNECT, connect_done);
	memcpy(connect->addr, &socket->peer, sizeof(socket->peer));
	connect->len = sizeof(socket->peer);
	connect->ref = socket->ring->ref;
	connect->evtchn = socket->ring->port;
	socket_set_state(&socket->sk, TCP_SYN_SENT);
	socket_submit(socket);
	return 0;
}

static int wait_connect(struct sock *sk, long timeout)
{
	long left;

	if (!timeout)
		return -EINPROGRESS;
	left = wait_event_interruptible_timeout(*sk_sleep(sk), sk->sk_state != TCP_SYN_SENT,
						timeout);
	if (left < 0)
		return sock_intr_errno(timeout);
	return left ? 0 : -EINPROGRESS;
}

/* The answers of TCP's connect(), whatever has gone before. */
static int connect_state(struct socket *sock, const struct sockaddr_in *address)
{
	struct hook_socket *socket = hook_socket(sock->sk);
	int error;

	switch (sock->state) {
	case SS_CONNECTED:
		return -EISCONN;
	case SS_CONNECTING:
		return -EALREADY;
	case SS_UNCONNECTED:
		if (socket->sk.sk_state != TCP_CLOSE || socket->released)
			return -EISCONN;
		if (socket->calling)
			return -EALREADY;
		error = connect_begin(socket, address);
		if (error)
			return error;
		sock->state = SS_CONNECTING;
		return -EINPROGRESS;
	default:
		return -EINVAL;
	}
}

static int connect_locked(struct socket *sock, const struct sockaddr_in *address, long timeout)
{
	struct sock *sk = sock->sk;
	int error = connect_state(sock, address);
	int waited = 0;

	if (sock->state != SS_CONNECTING)
		return error;
	if (sk->sk_state == TCP_SYN_SENT) {
		mutex_unlock(&hook_socket(sk)->control);
		if (timeout)
			waited = wait_connect(sk, timeout);
		else
			waited = error;
		mutex_lock(&hook_socket(sk)->control);
		if (waited)
			return waited;
	}
	if (sk->sk_state != TCP_CLOSE) {
		sock->state = SS_CONNECTED;
		return 0;
	}
	sock->state = SS_UNCONNECTED;
	return sock_error(sk) ?: -ECONNABORTED;
}

int socket_connect(struct socket *sock, struct sockaddr *address, int length, int flags)
{
	struct hook_socket *socket = hook_socket(sock->sk);
	int error;

	if (length < (int)sizeof(address->sa_family))
		return -EINVAL;
	if (address->sa_family == AF_UNSPEC)
		return -EOPNOTSUPP; /* there is no call to disconnect a socket and keep it */
	if (address->sa_family != AF_INET)
		return -EAFNOSUPPORT;
	if (length < (int)sizeof(struct sockaddr_in))
		return -EINVAL;
	if (mutex_lock_interruptible(&socket->control))
		return -ERESTARTSYS;
	error = connect_locked(sock, (struct sockaddr_in *)address,
			       sock_sndtimeo(sock->sk, flags & O_NONBLOCK));
	mutex_unlock(&socket->control);
	return error;
}
