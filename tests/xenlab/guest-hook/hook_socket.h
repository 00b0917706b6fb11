/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PVCALLS_HOOK_SOCKET_H
#define PVCALLS_HOOK_SOCKET_H

#include <linux/completion.h>
#include <linux/in.h>
#include <linux/mutex.h>
#include <linux/tcp.h>
#include <linux/workqueue.h>
#include <net/sock.h>

#include "hook_ring.h"
#include "hook_session.h"

#define SOCKET_OPTIONS 24 /* that are only remembered, see hook_options.c */

/* An ACCEPT on its way; the socket that comes of it exists when accept() takes it. */
struct accepting {
	struct session_call call;
	struct data_ring *ring;
	struct sock *listener;
	struct work_struct cleanup;
	u64 id;
	bool answered;  /* under the listener's accept_lock, as the next one */
	bool abandoned; /* the listener is closed, nobody takes it any more */
};

/*
 * sk_state: TCP_CLOSE, then TCP_SYN_SENT and TCP_ESTABLISHED or TCP_LISTEN. sk_shutdown and sk_err
 * are what poll, read and write go by; errors of the ring are carried there once.
 *
 * The whole struct tcp_sock is there because the kernel's generic code takes AF_INET stream sockets
 * of protocol TCP for one (SO_TIMESTAMPING, sockmaps); to it this one is all zeros.
 */
struct hook_socket {
	union {
		struct sock sk;
		struct tcp_sock tcp;
	};
	struct list_head node;  /* all sockets */
	u64 id;                 /* on the wire; 0: the backend doesn't know it */
	struct data_ring *ring; /* from the first connect until the socket is freed */
	struct sockaddr_in local;
	struct sockaddr_in peer;
	bool bound;     /* bind() has succeeded */
	bool bind_sent; /* BIND too: bind() to any address and port waits for a reason */
	bool calling;   /* `call` is not answered yet */
	bool released;
	bool in_reported;
	bool out_reported;
	bool names;  /* `local` and `peer` come from the backend */
	bool asking; /* getsockname() waits for `local` */

	struct mutex control; /* bind, listen, start of connect, accept */
	struct mutex in_mutex;
	struct mutex out_mutex;

	struct session_call socket_call;
	struct session_call call; /* BIND, LISTEN, CONNECT */
	struct session_call release_call;
	struct completion answered; /* of BIND and LISTEN */
	struct work_struct cleanup;
	atomic_t users; /* the program; calls without an answer, a RELEASE that may come too */

	spinlock_t accept_lock;
	struct accepting *accepting;

	struct {
		int option[SOCKET_OPTIONS];
		char congestion[16];
	} told; /* by the program, and told back to it */
};

static inline struct hook_socket *hook_socket(const struct sock *sk)
{
	return (struct hook_socket *)sk;
}

/* hook_socket.c: life, bind, listen, names, release */
int socket_create(struct net *net, struct socket *sock, int kern);
struct hook_socket *socket_new(struct net *net, struct socket *sock, int kern);
int socket_bind(struct socket *sock, struct sockaddr *address, int length);
int socket_listen(struct socket *sock, int backlog);
int socket_release(struct socket *sock);
int socket_getname(struct socket *sock, struct sockaddr *address, int peer);
/* Tells the backend that this connection is over; its ring stays readable memory of ours. */
void socket_disconnect(struct hook_socket *socket);
void socket_wake(struct sock *sk, __poll_t what);
void socket_wake_all(struct sock *sk);
void socket_set_state(struct sock *sk, int state);
u64 socket_new_id(void);
/* For the rogue. */
void sockets_each_ring(void (*what)(struct data_ring *ring, void *context), void *context);
void socket_clean(struct work_struct *work);
/* One of its users is done with it; the last one frees it, in the background. In any context. */
void socket_done_with(struct hook_socket *socket);
int sockets_init(void);
void sockets_exit(void);

/* `call` as a call of this kind, zeroed; sent with a SOCKET before it if need be; what came of it.
 */
void socket_prepare(struct hook_socket *socket, u32 cmd, void (*done)(struct session_call *call));
void socket_submit(struct hook_socket *socket);
int socket_call_result(const struct hook_socket *socket);

/* hook_connect.c */
int socket_connect(struct socket *sock, struct sockaddr *address, int length, int flags);
void socket_established(struct hook_socket *socket);

/* hook_accept.c */
int socket_accept(struct socket *sock, struct socket *newsock, int flags, bool kern);
bool accept_ready(struct hook_socket *listener);
/* After the RELEASE of the listener was answered. */
void accept_abandon(struct hook_socket *listener);
/* Sends an ACCEPT if there is none. */
int accept_begin(struct hook_socket *listener);

/* hook_stream.c */
int socket_sendmsg(struct socket *sock, struct msghdr *msg, size_t length);
int socket_recvmsg(struct socket *sock, struct msghdr *msg, size_t length, int flags);
__poll_t socket_poll(struct file *file, struct socket *sock, poll_table *wait);
int socket_shutdown(struct socket *sock, int how);
int socket_ioctl(struct socket *sock, unsigned int cmd, unsigned long arg);
/* In the interrupt: bytes, room, or an end. */
void stream_event(struct sock *sk);

/* hook_options.c */
int socket_setsockopt(struct socket *sock, int level, int option, sockptr_t value,
		      unsigned int length);
int socket_getsockopt(struct socket *sock, int level, int option, char __user *value,
		      int __user *length);
void options_init(struct hook_socket *socket);
void options_inherit(struct hook_socket *socket, const struct hook_socket *listener);

#endif
