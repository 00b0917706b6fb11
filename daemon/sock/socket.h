/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest's socket: what the guest calls it, what it is on the host, and the host's system calls.
 *
 * State, changed only by the functions here:
 *
 *   SOCKET_NEW         SOCKET was answered. No descriptor yet; BIND and CONNECT may follow.
 *   SOCKET_BOUND       bound; LISTEN or CONNECT may follow.
 *   SOCKET_REFUSED     BIND failed or was denied. The Linux frontend does not look at BIND's
 * result, so bind_error is kept and is the answer to LISTEN. SOCKET_CONNECTING  connect() is under
 * way; its answer comes with the socket becoming writable. SOCKET_STREAM      connected or
 * accepted; `stream` is in use. SOCKET_LISTENING   listening; ACCEPT and POLL may follow, several
 * at once.
 *
 * A connect that failed leaves SOCKET_NEW, so that the guest may try again with the same id.
 */
#ifndef SOCK_SOCKET_H
#define SOCK_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include <pvcalls/plugin.h>

#include "base/loop.h"
#include "sock/stream.h"

enum socket_state {
	SOCKET_NEW,
	SOCKET_BOUND,
	SOCKET_REFUSED,
	SOCKET_CONNECTING,
	SOCKET_STREAM,
	SOCKET_LISTENING,
};

struct guest_socket {
	struct guest_socket *next; /* in its bucket of the table */
	uint64_t id;               /* the guest's name for it */
	uint64_t number;           /* ours: never used twice */
	uint64_t parent;           /* number of the listener it was accepted on, or 0 */
	enum socket_state state;
	int fd; /* -1 while there is none */
	int bind_error;
	struct pvcalls_endpoint local; /* as the kernel says, once bound or connected */
	struct pvcalls_endpoint peer;  /* as asked (connect), or as the kernel says (accept) */
	uint64_t created_ns;
	struct loop_source source;
	struct stream stream; /* SOCKET_STREAM only */
	bool releasing;       /* RELEASE waits for its peer */
	void *engine;         /* who serves it */
	void *connection;     /* its mapped pages, while it has some */
};

/* Binds to an address; creates the descriptor. Returns 0 or -errno (then SOCKET_REFUSED). */
int socket_bind(struct guest_socket *guest_socket, const struct pvcalls_endpoint *address);
/* Remembers that BIND was answered with this negative errno. */
void socket_refuse_bind(struct guest_socket *guest_socket, int error);
/* SOCKET_BOUND to SOCKET_LISTENING; returns 0 or -errno. */
int socket_listen(struct guest_socket *guest_socket, uint32_t backlog);

/*
 * Starts to connect to an address without waiting. Returns 0 if it is connected already,
 * -EINPROGRESS (the descriptor becomes writable later), or another -errno.
 */
int socket_connect(struct guest_socket *guest_socket, const struct pvcalls_endpoint *address);
/* The outcome of a connect that was under way: 0 or -errno. */
int socket_connect_result(struct guest_socket *guest_socket);
/* Back to SOCKET_NEW after a connect that failed, was given up or could not be served. */
void socket_disconnect(struct guest_socket *guest_socket);

/* Takes one waiting connection. Returns its descriptor and *peer, or -errno (-EAGAIN: none waits).
 */
int socket_accept(struct guest_socket *guest_socket, struct pvcalls_endpoint *peer);
/* Whether a connection waits on a listening socket. */
bool socket_has_waiting(const struct guest_socket *guest_socket);
/* Makes socket, which is new, the stream of an accepted descriptor, which it owns from now on. */
void socket_adopt(struct guest_socket *guest_socket, int fd, const struct pvcalls_endpoint *peer);
/* Closes a descriptor so that its peer sees a reset at once. */
void socket_reset(int fd);

/*
 * Sets what a guest can't ask for, since the protocol has no socket options: bytes leave at once
 * (the guest batches in its ring), and dead peers are noticed.
 */
void socket_tune(struct guest_socket *guest_socket);

/* Reads the socket's own address from the kernel into local. */
void socket_read_local(struct guest_socket *guest_socket);

#endif
