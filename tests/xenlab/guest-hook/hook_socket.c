// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * A socket is the guest's until bind() or connect(): only then the backend hears of it, by SOCKET
 * and BIND or CONNECT in one go. CONNECT is answered in the interrupt of the command ring, which
 * moves sk_state and wakes whoever waits; connect() itself waits as TCP's does, so that signals,
 * time-outs and O_NONBLOCK mean what they mean there. BIND and LISTEN are waited for.
 *
 * close() sends RELEASE and returns; pages go back when it is answered, and all calls before it
 * (socket_cleanup): of a parked one we may hear later than of the RELEASE. A backend without our
 * extension drops what it hasn't sent yet, so there RELEASE waits until the ring is
 * empty.
 */
#include <linux/delay.h>
#include <linux/sched/signal.h>
#include <net/ip.h>

#include "hook_socket.h"

#define LOCAL_MS 5000  /* wait so long for a backend to tell our own address */
#define DRAIN_MS 10000 /* wait so long for a backend that would drop what it has not sent */

static struct proto hook_proto = {
	.name = "PVCALLS-HOOK",
	.owner = THIS_MODULE,
	.obj_size = sizeof(struct hook_socket),
	/* What is copied to programs as it stands: nothing else of a slab may be. */
	.useroffset = offsetof(struct hook_socket, told),
	.usersize = sizeof_field(struct hook_socket, told),
};

static LIST_HEAD(sockets);
static DEFINE_SPINLOCK(sockets_lock);
static struct workqueue_struct *cleaner;

u64 socket_new_id(void)
{
	static atomic64_t last;

	return atomic64_inc_return(&last);
}

void socket_clean(struct work_struct *work)
{
	queue_work(cleaner, work);
}

void socket_wake(struct sock *sk, __poll_t what)
{
	struct socket_wq *wq;

	rcu_read_lock();
	wq = rcu_dereference(sk->sk_wq);
	if (skwq_has_sleeper(wq))
		wake_up_poll(&wq->wait, what); /* getsockname() waits uninterruptibly */
	if (what & EPOLLIN)
		sk_wake_async(sk, SOCK_WAKE_WAITD, POLL_IN);
	if (what & EPOLLOUT)
		sk_wake_async(sk, SOCK_WAKE_SPACE, POLL_OUT);
	rcu_read_unlock();
}

void socket_wake_all(struct sock *sk)
{
	socket_wake(sk, EPOLLIN | EPOLLRDNORM | EPOLLOUT | EPOLLWRNORM | EPOLLERR | EPOLLHUP |
				EPOLLRDHUP);
}

static void socket_destruct(struct sock *sk)
{
	struct hook_socket *socket = hook_socket(sk);

	spin_lock_bh(&sockets_lock);
	list_del(&socket->node);
	spin_unlock_bh(&sockets_lock);
}

/* The RELEASE was answered, or nothing had to be released. Gives up the reference of the socket. */
static void socket_cleanup(struct work_struct *work)
{
	struct hook_socket *socket = container_of(work, struct hook_socket, cleanup);

	accept_abandon(socket);
	if (socket->ring)
		ring_put(socket->ring);
	socket->ring = NULL;
	sock_put(&socket->sk);
}

void socket_done_with(struct hook_socket *socket)
{
	if (atomic_dec_and_test(&socket->users))
		queue_work(cleaner, &socket->cleanup);
}

static void release_done(struct session_call *call)
{
	socket_done_with(container_of(call, struct hook_socket, release_call));
}

struct hook_socket *socket_new(struct net *net, struct socket *sock, int kern)
{
	struct sock *sk = sk_alloc(net, PF_INET, GFP_KERNEL, &hook_proto, kern);
	struct hook_socket *socket = hook_socket(sk);

	if (!sk)
		return NULL;
	sock_init_data(sock, sk);
	sk->sk_protocol = IPPROTO_TCP;
	sk->sk_destruct = socket_destruct;
	mutex_init(&socket->control);
	mutex_init(&socket->in_mutex);
	mutex_init(&socket->out_mutex);
	spin_lock_init(&socket->accept_lock);
	init_completion(&socket->answered);
	INIT_WORK(&socket->cleanup, socket_cleanup);
	atomic_set(&socket->users, 2);
	socket->release_call.done = release_done;
	socket->local.sin_family = AF_INET;
	socket->peer.sin_family = AF_INET;
	options_init(socket);
	spin_lock_bh(&sockets_lock);
	list_add(&socket->node, &sockets);
	spin_unlock_bh(&sockets_lock);
	return socket;
}

int socket_create(struct net *net, struct socket *sock, int kern)
{
	sock->state = SS_UNCONNECTED;
	return socket_new(net, sock, kern) ? 0 : -ENOBUFS;
}

static void ignore_done(struct session_call *call)
{
	socket_done_with(container_of(call, struct hook_socket, socket_call));
}

void socket_set_state(struct sock *sk, int state)
{
	smp_store_release(&sk->sk_state, state);
}

/* SOCKET goes right before the first call that needs it. */
static unsigned int prepare_socket_call(struct hook_socket *socket, struct session_call **calls)
{
	struct session_call *call = &socket->socket_call;

	if (socket->id)
		return 0;
	socket->id = socket_new_id();
	memset(&call->request, 0, sizeof(call->request));
	call->request.cmd = PVCALLS_SOCKET;
	call->request.u.socket.id = socket->id;
	call->request.u.socket.domain = AF_INET;
	call->request.u.socket.type = SOCK_STREAM;
	call->done = ignore_done;
	atomic_inc(&socket->users);
	calls[0] = call;
	return 1;
}

void socket_submit(struct hook_socket *socket)
{
	struct session_call *calls[2];
	unsigned int count = prepare_socket_call(socket, calls);

	/* The id stands at the same place in every request. */
	socket->call.request.u.socket.id = socket->id;
	socket->calling = true;
	calls[count++] = &socket->call;
	atomic_inc(&socket->users);
	session_submit(calls, count);
}

int socket_call_result(const struct hook_socket *socket)
{
	/* A refused SOCKET says more than what comes of calls on a socket that isn't there. */
	if (socket->socket_call.answered && socket->socket_call.result)
		return socket->socket_call.result;
	return socket->call.result;
}

static void wait_done(struct session_call *call)
{
	struct hook_socket *socket = container_of(call, struct hook_socket, call);

	WRITE_ONCE(socket->calling, false);
	complete(&socket->answered);
	socket_done_with(socket);
}

void socket_prepare(struct hook_socket *socket, u32 cmd, void (*done)(struct session_call *call))
{
	memset(&socket->call.request, 0, sizeof(socket->call.request));
	socket->call.request.cmd = cmd;
	socket->call.done = done;
}

static int submit_and_wait(struct hook_socket *socket)
{
	reinit_completion(&socket->answered);
	socket_submit(socket);
	/* Killed: the call goes on without us, close() comes next and is sent after it. */
	if (wait_for_completion_killable(&socket->answered))
		return -EINTR;
	return socket_call_result(socket);
}

static int send_bind(struct hook_socket *socket)
{
	struct xen_pvcalls_bind *bind = &socket->call.request.u.bind;
	int error;

	socket_prepare(socket, PVCALLS_BIND, wait_done);
	memcpy(bind->addr, &socket->local, sizeof(socket->local));
	bind->len = sizeof(socket->local);
	error = submit_and_wait(socket);
	if (error)
		return error;
	socket->bind_sent = true;
	if (!socket->local.sin_port)
		socket->local.sin_port = htons(socket->call.port);
	return 0;
}

/* Neither connected nor listening, nor on the way to it. */
static bool is_idle(const struct hook_socket *socket)
{
	return socket->sk.sk_state == TCP_CLOSE && !socket->ring && !socket->calling &&
	       !socket->released;
}

static int check_address(const struct sockaddr *address, int length)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)address;

	if (length < (int)sizeof(*in))
		return -EINVAL;
	if (in->sin_family == AF_INET)
		return 0;
	/* What TCP lets pass, too. */
	if (in->sin_family == AF_UNSPEC && in->sin_addr.s_addr == htonl(INADDR_ANY))
		return 0;
	return -EAFNOSUPPORT;
}

/* The backend doesn't know the guest's users: which of them may is decided here. */
static bool may_bind(struct net *net, u16 port)
{
	return !port || !inet_port_requires_bind_service(net, port) ||
	       ns_capable(net->user_ns, CAP_NET_BIND_SERVICE);
}

int socket_bind(struct socket *sock, struct sockaddr *address, int length)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)address;
	struct hook_socket *socket = hook_socket(sock->sk);
	int error = check_address(address, length);

	if (error)
		return error;
	if (!may_bind(sock_net(sock->sk), ntohs(in->sin_port)))
		return -EACCES;
	if (mutex_lock_interruptible(&socket->control))
		return -ERESTARTSYS;
	error = -EINVAL;
	if (socket->bound || !is_idle(socket))
		goto out;
	socket->local.sin_addr = in->sin_addr;
	socket->local.sin_port = in->sin_port;
	/* bind() to nothing in particular before connect() needs no BIND, and gets no wrong one. */
	error = in->sin_port || in->sin_addr.s_addr ? send_bind(socket) : 0;
	socket->bound = !error;
	if (error)
		socket->local.sin_addr.s_addr = socket->local.sin_port = 0;
out:
	mutex_unlock(&socket->control);
	return error;
}

static int send_listen(struct hook_socket *socket, int backlog)
{
	int error;

	socket_prepare(socket, PVCALLS_LISTEN, wait_done);
	socket->call.request.u.listen.backlog = backlog;
	error = submit_and_wait(socket);
	if (error)
		return error;
	if (!socket->local.sin_port)
		socket->local.sin_port = htons(socket->call.port);
	return 0;
}

int socket_listen(struct socket *sock, int backlog)
{
	struct hook_socket *socket = hook_socket(sock->sk);
	int error = 0;

	if (mutex_lock_interruptible(&socket->control))
		return -ERESTARTSYS;
	if (socket->sk.sk_state == TCP_LISTEN)
		goto out; /* a second one only changes the backlog, and no call does */
	error = -EINVAL;
	if (!is_idle(socket))
		goto out;
	error = socket->bind_sent ? 0 : send_bind(socket);
	if (!error)
		error = send_listen(socket, backlog);
	if (!error) {
		socket->bound = true;
		socket_set_state(&socket->sk, TCP_LISTEN);
	}
out:
	mutex_unlock(&socket->control);
	return error;
}

static void send_release(struct hook_socket *socket)
{
	struct session_call *call = &socket->release_call;
	struct session_peer peer;

	call->request.cmd = PVCALLS_RELEASE;
	call->request.u.release.id = socket->id;
	if (socket->ring && !session_peer(&peer) && peer.reuse)
		call->request.u.release.reuse = ring_keep(socket->ring);
	session_submit(&call, 1);
}

static bool drained(const struct hook_socket *socket)
{
	return !ring_unsent(socket->ring) || ring_out_error(socket->ring);
}

/* The backend would drop what it has not sent. */
static bool must_drain(const struct hook_socket *socket)
{
	struct session_peer peer;

	return socket->sk.sk_state == TCP_ESTABLISHED && !session_peer(&peer) && !peer.names &&
	       !drained(socket);
}

void socket_disconnect(struct hook_socket *socket)
{
	bool first;

	mutex_lock(&socket->control);
	first = !socket->released && socket->id && !must_drain(socket);
	if (first)
		socket->released = true;
	mutex_unlock(&socket->control);
	if (first)
		send_release(socket);
}

static void socket_drain(struct work_struct *work)
{
	struct hook_socket *socket = container_of(work, struct hook_socket, cleanup);
	unsigned long end = jiffies + msecs_to_jiffies(DRAIN_MS);

	while (!drained(socket) && time_before(jiffies, end))
		msleep(1);
	INIT_WORK(&socket->cleanup, socket_cleanup);
	send_release(socket);
	socket_done_with(socket);
}

int socket_release(struct socket *sock)
{
	struct sock *sk = sock->sk;
	struct hook_socket *socket;

	if (!sk)
		return 0;
	socket = hook_socket(sk);
	sock_orphan(sk);
	sock->sk = NULL;
	if (!socket->released && socket->id && must_drain(socket)) {
		INIT_WORK(&socket->cleanup, socket_drain);
		queue_work(cleaner, &socket->cleanup);
		return 0;
	}
	if (!socket->released && socket->id)
		send_release(socket);
	else if (!socket->released)
		socket_done_with(socket); /* the backend knows nothing of it */
	socket_done_with(socket);
	return 0;
}

/* Whether it is told, or will not be: of a stream that has ended the backend may know nothing. */
static bool local_is_settled(const struct hook_socket *socket)
{
	struct session_peer peer;

	return ring_local_known(socket->ring) ||
	       (ring_in_error(socket->ring) && ring_out_error(socket->ring)) ||
	       session_peer(&peer) || peer.generation != socket->ring->generation;
}

/* Asks the backend for our own address, once. `control` is held. */
static void learn_local(struct hook_socket *socket)
{
	struct session_peer peer;
	struct ring_names names;

	if (socket->local.sin_port || socket->sk.sk_state != TCP_ESTABLISHED || !socket->ring)
		return;
	if (session_peer(&peer) || !peer.names_on_demand ||
	    socket->ring->generation != peer.generation)
		return;
	WRITE_ONCE(socket->asking, true);
	ring_ask_local(socket->ring);
	wait_event_killable_timeout(*sk_sleep(&socket->sk), local_is_settled(socket),
				    msecs_to_jiffies(LOCAL_MS));
	WRITE_ONCE(socket->asking, false);
	if (!ring_local_known(socket->ring))
		return;
	ring_names(socket->ring, &names);
	socket->local.sin_addr.s_addr = names.local_addr;
	socket->local.sin_port = names.local_port;
}

int socket_getname(struct socket *sock, struct sockaddr *address, int peer)
{
	struct hook_socket *socket = hook_socket(sock->sk);
	int error = 0;

	if (peer) {
		/* 2 is accept() asking, for whose socket all is known. */
		if (peer == 1 && socket->sk.sk_state != TCP_ESTABLISHED)
			return -ENOTCONN;
		memcpy(address, &socket->peer, sizeof(socket->peer));
		return sizeof(socket->peer);
	}
	mutex_lock(&socket->control);
	/* Who asks for the port that bind() has chosen wants one chosen. */
	if (socket->bound && !socket->bind_sent && is_idle(socket))
		error = send_bind(socket);
	learn_local(socket);
	memcpy(address, &socket->local, sizeof(socket->local));
	mutex_unlock(&socket->control);
	return error ?: (int)sizeof(socket->local);
}

static void socket_lost(struct sock *sk)
{
	if (sk->sk_state == TCP_ESTABLISHED && sk->sk_shutdown != SHUTDOWN_MASK)
		WRITE_ONCE(sk->sk_err, ECONNRESET);
	if (sk->sk_state == TCP_LISTEN)
		socket_set_state(sk, TCP_CLOSE);
	WRITE_ONCE(sk->sk_shutdown, SHUTDOWN_MASK);
	socket_wake_all(sk);
}

void sockets_lost(void)
{
	struct hook_socket *socket;

	spin_lock_bh(&sockets_lock);
	list_for_each_entry(socket, &sockets, node)
	{
		if (socket->id)
			socket_lost(&socket->sk);
	}
	spin_unlock_bh(&sockets_lock);
}

void sockets_each_ring(void (*what)(struct data_ring *ring, void *context), void *context)
{
	struct hook_socket *socket;

	spin_lock_bh(&sockets_lock);
	list_for_each_entry(socket, &sockets, node)
	{
		if (socket->sk.sk_state == TCP_ESTABLISHED && !sock_flag(&socket->sk, SOCK_DEAD))
			what(socket->ring, context);
	}
	spin_unlock_bh(&sockets_lock);
}

int __init sockets_init(void)
{
	int error;

	cleaner = alloc_workqueue("pvcalls-hook", WQ_UNBOUND, 0);
	if (!cleaner)
		return -ENOMEM;
	error = proto_register(&hook_proto, 1);
	if (error)
		destroy_workqueue(cleaner);
	return error;
}

void sockets_exit(void)
{
	destroy_workqueue(cleaner);
	proto_unregister(&hook_proto);
	rings_drain();
}
