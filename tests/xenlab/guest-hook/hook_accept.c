// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * A listener has at most one ACCEPT on its way, as Linux's backend takes no more. It is sent when a
 * program first waits, in accept() or poll(), and its answer is what makes the listener readable:
 * POLL isn't needed. It is not sent ahead of that, because an ACCEPT that is unanswered when its
 * listener is closed costs one of the command ring's 32 slots for good, unless the backend has
 * feature-cancel.
 */
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "hook_socket.h"

/* In process context; gives back what was not taken. */
static void accepting_free(struct accepting *accepting)
{
	if (accepting->ring)
		ring_put(accepting->ring);
	sock_put(accepting->listener);
	kfree(accepting);
}

static void accepting_released(struct session_call *call)
{
	struct accepting *accepting = container_of(call, struct accepting, call);

	socket_clean(&accepting->cleanup);
}

/* An answer that nobody takes: a connection has to be released, an error left nothing behind. */
static void accepting_drop(struct accepting *accepting)
{
	struct session_call *call = &accepting->call;

	call->done = accepting_released;
	if (call->result) {
		socket_clean(&accepting->cleanup);
		return;
	}
	memset(&call->request, 0, sizeof(call->request));
	call->request.cmd = PVCALLS_RELEASE;
	call->request.u.release.id = accepting->id;
	session_submit(&call, 1);
}

static void accepting_cleanup(struct work_struct *work)
{
	accepting_free(container_of(work, struct accepting, cleanup));
}

/*
 * The listener lives as long as what is accepted for it, which holds it. If nobody has given that
 * up, another CPU may take and free it as soon as it is answered and the lock is free: so whoever
 * waits is woken under the lock, and nothing is touched behind it. Given up, it is ours alone. No
 * reference is taken here, which could be the last one when it is dropped, in the interrupt.
 */
static void accept_done(struct session_call *call)
{
	struct accepting *accepting = container_of(call, struct accepting, call);
	struct hook_socket *listener = hook_socket(accepting->listener);
	unsigned long flags;
	bool abandoned;

	spin_lock_irqsave(&listener->accept_lock, flags);
	accepting->answered = true;
	abandoned = accepting->abandoned;
	if (!abandoned)
		socket_wake(&listener->sk, EPOLLIN | EPOLLRDNORM);
	spin_unlock_irqrestore(&listener->accept_lock, flags);
	if (abandoned)
		accepting_drop(accepting);
}

static struct accepting *accepting_new(struct hook_socket *listener)
{
	struct accepting *accepting;
	struct session_peer peer;

	if (session_peer(&peer))
		return ERR_PTR(-EINVAL); /* what accept() says on a socket that doesn't listen */
	accepting = kzalloc(sizeof(*accepting), GFP_KERNEL);
	if (!accepting)
		return ERR_PTR(-ENOMEM);
	accepting->ring = ring_get(&peer);
	if (!accepting->ring) {
		kfree(accepting);
		return ERR_PTR(-ENOBUFS);
	}
	sock_hold(&listener->sk);
	accepting->listener = &listener->sk;
	accepting->id = socket_new_id();
	INIT_WORK(&accepting->cleanup, accepting_cleanup);
	accepting->call.done = accept_done;
	accepting->call.request.cmd = PVCALLS_ACCEPT;
	accepting->call.request.u.accept.id = listener->id;
	accepting->call.request.u.accept.id_new = accepting->id;
	accepting->call.request.u.accept.ref = accepting->ring->ref;
	accepting->call.request.u.accept.evtchn = accepting->ring->port;
	return accepting;
}

/* `control` is held. */
static int begin_locked(struct hook_socket *listener)
{
	struct accepting *accepting;
	struct session_call *call;

	if (listener->sk.sk_state != TCP_LISTEN || listener->released)
		return -EINVAL;
	if (listener->accepting)
		return 0;
	accepting = accepting_new(listener);
	if (IS_ERR(accepting))
		return PTR_ERR(accepting);
	call = &accepting->call;
	spin_lock_irq(&listener->accept_lock);
	listener->accepting = accepting;
	spin_unlock_irq(&listener->accept_lock);
	session_submit(&call, 1);
	return 0;
}

int accept_begin(struct hook_socket *listener)
{
	int error;

	mutex_lock(&listener->control);
	error = begin_locked(listener);
	mutex_unlock(&listener->control);
	return error;
}

bool accept_ready(struct hook_socket *listener)
{
	bool ready;

	spin_lock_irq(&listener->accept_lock);
	ready = listener->accepting && listener->accepting->answered;
	spin_unlock_irq(&listener->accept_lock);
	return ready || listener->sk.sk_state != TCP_LISTEN;
}

static struct accepting *take_answered(struct hook_socket *listener)
{
	struct accepting *accepting;

	spin_lock_irq(&listener->accept_lock);
	accepting = listener->accepting;
	if (accepting && accepting->answered)
		listener->accepting = NULL;
	else
		accepting = NULL;
	spin_unlock_irq(&listener->accept_lock);
	return accepting;
}

void accept_abandon(struct hook_socket *listener)
{
	struct accepting *accepting;
	bool answered = false;
	bool forgotten = false;

	/* Until the lock is free accept_done() can't give it back, and its place in memory is not
	 * another call's. */
	spin_lock_irq(&listener->accept_lock);
	accepting = listener->accepting;
	listener->accepting = NULL;
	if (accepting) {
		answered = accepting->answered;
		accepting->abandoned = true;
		forgotten = !answered && session_forget(&accepting->call);
	}
	spin_unlock_irq(&listener->accept_lock);
	if (answered)
		accepting_drop(accepting);
	else if (forgotten)
		accepting_free(accepting);
}

/* The answer, a reference to which goes to the caller. */
static struct accepting *accept_wait(struct hook_socket *listener, long timeout)
{
	struct sock *sk = &listener->sk;
	struct accepting *accepting;
	int error;

	for (;;) {
		error = accept_begin(listener);
		if (error)
			return ERR_PTR(error);
		accepting = take_answered(listener);
		if (accepting)
			return accepting;
		if (!timeout)
			return ERR_PTR(-EAGAIN);
		timeout = wait_event_interruptible_timeout(*sk_sleep(sk), accept_ready(listener),
							   timeout);
		if (timeout < 0)
			return ERR_PTR(sock_intr_errno(sk->sk_rcvtimeo));
	}
}

static int take(struct hook_socket *listener, struct accepting *accepting, struct socket *newsock)
{
	struct hook_socket *socket;

	if (accepting->call.result)
		return accepting->call.result;
	socket = socket_new(sock_net(&listener->sk), newsock, 0);
	if (!socket)
		return -ENOBUFS;
	socket->id = accepting->id;
	socket->ring = accepting->ring;
	accepting->ring = NULL;
	socket->local = listener->local;
	options_inherit(socket, listener);
	ring_own(socket->ring, &socket->sk, stream_event);
	socket_established(socket);
	newsock->state = SS_CONNECTED;
	/* What came before the ring had an owner. */
	stream_event(&socket->sk);
	return 0;
}

int socket_accept(struct socket *sock, struct socket *newsock, int flags, bool kern)
{
	struct hook_socket *listener = hook_socket(sock->sk);
	struct accepting *accepting =
		accept_wait(listener, sock_rcvtimeo(sock->sk, flags & O_NONBLOCK));
	int error;

	if (IS_ERR(accepting))
		return PTR_ERR(accepting);
	error = take(listener, accepting, newsock);
	/* No memory for it: the connection is given back. */
	if (error == -ENOBUFS && !accepting->call.result)
		accepting_drop(accepting);
	else
		accepting_free(accepting);
	return error;
}
