/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest's socket: what the guest calls it, what it is on the host, and the host's system calls.
 *
 * Theory of operation. The protocol's calls on one socket need not come one after the other, and
 * any of them may wait: for a plugin's delay, for the network, for a peer. So a call that changes a
 * socket holds it (`holder`) from the moment it has checked the state until it is done, and the
 * state that it has checked stays what it was. Calls that only wait at a listener, ACCEPT and POLL,
 * hold nothing of it.
 */
#ifndef SOCK_SOCKET_H
#define SOCK_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include <pvcalls/plugin.h>

#include "base/loop.h"
#include "sock/stream.h"

/* What a socket is. Changed by the functions here; SOCKET_STREAM is set by who serves it. */
enum socket_state {
	/* SOCKET was taken. No descriptor yet; BIND and CONNECT may follow. A failed connect leaves
	 * this state too, so that the guest may try again with the same id. */
	SOCKET_NEW,
	/* Promised to an ACCEPT that waits for its peer and holds it. No descriptor. */
	SOCKET_RESERVED,
	/* Bound; LISTEN or CONNECT may follow. */
	SOCKET_BOUND,
	/* BIND failed or was denied. Linux' frontend does not look at BIND's result, so bind_error
	 * is kept and is the answer to LISTEN and CONNECT. */
	SOCKET_REFUSED,
	/* connect(2) is under way; its answer comes with the socket becoming writable. */
	SOCKET_CONNECTING,
	/* Connected or accepted; `stream` is in use. */
	SOCKET_STREAM,
	/* Listening; ACCEPT and POLL may follow, several at once. */
	SOCKET_LISTENING,
	/* It was closed and that was recorded, but the guest, who did not ask for it, has its name
	 * still. No descriptor; RELEASE may follow, and has nothing left to do. */
	SOCKET_KILLED,
};

struct connection;
struct pending_call;
struct pending_link;

/* A socket of a guest, made and freed by a socket_table. */
struct guest_socket {
	struct guest_socket *next; /* in its bucket of the table */
	uint64_t id;               /* the guest's name for it */
	uint64_t number;           /* ours: never used twice */
	uint64_t parent;           /* number of the listener it was accepted on, or 0 */
	enum socket_state state;
	int fd; /* -1 while there is none */
	int bind_error;
	bool only_connects;            /* bound without a port, and not to listen */
	struct pvcalls_endpoint local; /* as the kernel says; family 0: it was not asked */
	struct pvcalls_endpoint peer;  /* as asked (connect), or as the kernel says (accept) */
	uint64_t created_ns;           /* monotonic */
	struct loop_source source;
	struct stream stream;         /* SOCKET_STREAM only */
	void *owner;                  /* whoever made the table: for its callbacks */
	struct pending_call *holder;  /* the call that holds it, NULL: none; not looked into here */
	struct pending_link *waiting; /* SOCKET_LISTENING: calls that wait at it; as holder */
	struct guest_socket *next_due; /* SOCKET_LISTENING: behind it in the owner's list ... */
	bool accepts_due;              /* ... if it is there */
	struct connection *connection; /* its mapped pages or NULL; not looked into here */
};

/*
 * Binds to an address; creates the descriptor. With only_connects its port, 0, is left open until
 * it connects: so none is taken from the host. Returns 0 or -errno (then SOCKET_REFUSED).
 */
int socket_bind(struct guest_socket *guest_socket, const struct pvcalls_endpoint *address,
		bool only_connects);
/* Remembers that BIND was answered with this negative errno. */
void socket_refuse_bind(struct guest_socket *guest_socket, int error);
/* SOCKET_BOUND to SOCKET_LISTENING; what is accepted is tuned. Returns 0 or -errno. */
int socket_listen(struct guest_socket *guest_socket, uint32_t backlog);

/*
 * Starts to connect to an address without waiting. Returns 0 if it is connected already,
 * -EINPROGRESS (the descriptor becomes writable later), or another -errno.
 */
int socket_connect(struct guest_socket *guest_socket, const struct pvcalls_endpoint *address);
/* The outcome of a connect that was under way: 0 or -errno. */
int socket_connect_result(struct guest_socket *guest_socket);
/* Back to SOCKET_NEW, without addresses, after a connect that failed, was given up or could not be
 * served. */
void socket_disconnect(struct guest_socket *guest_socket);

/* Promises a new socket to an ACCEPT: SOCKET_NEW to SOCKET_RESERVED. */
void socket_reserve(struct guest_socket *guest_socket);
/* Takes a waiting connection. Returns its descriptor and *peer, or -errno (-EAGAIN: none). */
int socket_accept(struct guest_socket *guest_socket, struct pvcalls_endpoint *peer);
/* Whether a connection waits on a listening socket. */
bool socket_has_waiting(const struct guest_socket *guest_socket);
/* Whether a bound socket takes connections to any address of the host, as far as is known. */
bool socket_is_bound_to_all(const struct guest_socket *guest_socket);
/* Gives a reserved socket the descriptor of an accepted connection, which it owns from now on. */
void socket_give(struct guest_socket *guest_socket, int fd, const struct pvcalls_endpoint *peer);
/* What is left of a socket whose descriptor is closed or handed on: its name. SOCKET_KILLED. */
void socket_leave_name(struct guest_socket *guest_socket);
/* Closes a descriptor so that its peer sees a reset at once. */
void socket_reset(int fd);

/*
 * Sets what a guest can't ask for, since the protocol has no socket options: bytes leave at once
 * (the guest batches in its ring), and dead peers are noticed.
 */
void socket_tune(struct guest_socket *guest_socket);

/* Reads the own address of a descriptor from the kernel. Returns 0 or -errno. */
int socket_local_of(int fd, struct pvcalls_endpoint *local);
/* Reads the socket's own address from the kernel into local. */
void socket_read_local(struct guest_socket *guest_socket);

#endif
