/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's side of PV Calls: sockets that a backend opens for you.
 *
 * A program connects to a backend with pvcalls_front_open(), makes sockets with
 * pvcalls_front_socket(), and calls connect, bind, listen, accept, poll and release on them. Calls
 * travel over the command ring and finish later, in pvcalls_front_dispatch(); the ..._wait() forms
 * dispatch until theirs is finished. Bytes travel over a data ring that each connected socket has
 * of its own, by copying (read, write) or in place (readable/consume, writable/commit).
 *
 * One thread at a time may use a frontend and its sockets. Callbacks are made from dispatch and the
 * functions that wait, never from the functions that start a call; a callback may do everything but
 * wait or close the frontend. Nothing is allocated per call or per byte once the peak of use was
 * reached.
 *
 * The backend is believed only as far as it must be: an index out of range, a response nobody asked
 * for or a refused handshake ends the socket or the frontend with an error and never touches memory
 * outside the rings.
 *
 * Errors are negative errno values of Linux; -524 (ENOTSUP on the wire) is passed on as it came.
 */
#ifndef PVCALLS_FRONTEND_H
#define PVCALLS_FRONTEND_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

#define PVCALLS_FRONT_RUNTIME_DIR "/run/pvcalls"
#define PVCALLS_FRONT_ORDER_MIN   1u /* 4 KiB in each direction */
#define PVCALLS_FRONT_ORDER_MAX   9u /* 1 MiB in each direction */
#define PVCALLS_FRONT_WHY_MAX     512u
#define PVCALLS_FRONT_CALLS       32u /* calls that are in flight at once; more wait for their turn */

/* A guest's connection to its backend. */
struct pvcalls_front;
/* A socket of the guest. */
struct pvcalls_front_socket;

/* How pages and events get to the backend. */
enum pvcalls_front_transport {
	PVCALLS_FRONT_AUTO,  /* xen in a Xen guest with a PV Calls device, else local */
	PVCALLS_FRONT_LOCAL, /* to a daemon on this machine; with a runtime_dir AUTO is this, too */
	PVCALLS_FRONT_XEN,   /* to the backend that the guest's device names, as a rule Dom0's */
};

/* How to connect. Zeroed fields mean their defaults. */
struct pvcalls_front_options {
	size_t size;             /* sizeof(struct pvcalls_front_options) */
	const char *runtime_dir; /* where the daemon's socket is; NULL: PVCALLS_FRONT_RUNTIME_DIR */
	const char *name;        /* local: the guest's: letters, digits, ".-_", below 64 bytes */
	uint64_t memory;         /* most bytes shared with the backend, used as needed; 0: 1 GiB */
	uint32_t timeout_ms;     /* longest wait for the backend to come up; 0: 5000 */
	bool no_polling;         /* true: sleep at once instead of polling up to 50 us first */
	bool no_names;           /* true: don't ask for addresses (feature-names) */
	enum pvcalls_front_transport transport;
};

/*
 * Connects to the backend and brings the device up (xenbus states 1 to 4). Returns 0 and *front,
 * which the caller ends with pvcalls_front_close(); or -errno with a line for people in why (what,
 * where, what to do; PVCALLS_FRONT_WHY_MAX bytes, may be NULL): -EPERM or -EACCES if the name is
 * not permitted, -EBUSY or -EEXIST if it, or a Xen guest's device, is taken, -ENOENT or
 * -ECONNREFUSED if no daemon listens, -ENODEV without device, -ETIMEDOUT, -EPROTO for a backend
 * that does not speak version 1, ...
 */
int pvcalls_front_open(struct pvcalls_front **front, const struct pvcalls_front_options *options,
		       char *why);

/*
 * Closes the device in order (states 5, 6), frees every socket and the frontend. Waits up to
 * timeout_ms for the backend's part. Finish your releases first, or written bytes may be lost.
 */
void pvcalls_front_close(struct pvcalls_front *front, uint32_t timeout_ms);

/* The largest ring order the backend takes, at most PVCALLS_FRONT_ORDER_MAX. */
uint32_t pvcalls_front_max_order(const struct pvcalls_front *front);
/* Which transport it has: never PVCALLS_FRONT_AUTO. */
enum pvcalls_front_transport pvcalls_front_transport(const struct pvcalls_front *front);
/* After -ENOMEM or -ENOSPC from connect or accept: a line for people that names the limit, or NULL.
 */
const char *pvcalls_front_shortage(const struct pvcalls_front *front);
/* 0, or the -errno that ended this frontend: every later call fails with it. */
int pvcalls_front_error(const struct pvcalls_front *front);
/* Releases that are not answered yet. */
uint32_t pvcalls_front_releasing(const struct pvcalls_front *front);

/* --- events --- */

/*
 * A descriptor to put into poll() or epoll (EPOLLIN), owned by the frontend. Before sleeping on it
 * call pvcalls_front_may_sleep(); when it was readable, or that returned false, call
 * pvcalls_front_dispatch().
 */
int pvcalls_front_fd(const struct pvcalls_front *front);
/* Whether nothing is pending, so that the descriptor will wake you. */
bool pvcalls_front_may_sleep(struct pvcalls_front *front);
/* Whether something is pending; cheap, for programs that poll. */
bool pvcalls_front_pending(const struct pvcalls_front *front);
/*
 * Takes what is pending and makes the callbacks; never blocks. Returns the number of events, or the
 * -errno that ended the frontend (then each call in flight was finished with that error).
 */
int pvcalls_front_dispatch(struct pvcalls_front *front);
/*
 * Waits for something to be pending, polling first if that pays, and dispatches it. timeout_ms
 * below 0: no limit. Returns as pvcalls_front_dispatch(); 0 when the time is over.
 */
int pvcalls_front_wait(struct pvcalls_front *front, int timeout_ms);
/*
 * Between cork and uncork calls and small transfers are collected, and the backend is woken for all
 * of them together. Dispatch corks calls by itself; corks do not nest.
 */
void pvcalls_front_cork(struct pvcalls_front *front);
void pvcalls_front_uncork(struct pvcalls_front *front);

/* --- sockets and calls --- */

/*
 * A call is finished. socket is the one it was made on, for accept the new one (NULL if result is
 * not 0; owned by the receiver). result is 0 or -errno. Never called after the release of the
 * socket that the call was made on.
 */
typedef void (*pvcalls_front_done)(struct pvcalls_front_socket *socket, int result, void *context);
/* There may be something to read, to write, or an error. Spurious calls are normal. */
typedef void (*pvcalls_front_ready)(struct pvcalls_front_socket *socket, void *owner);

/*
 * Makes a socket; SOCKET travels with the first call made on it, and its error becomes that call's.
 * order is that of its data ring, PVCALLS_FRONT_ORDER_MIN to pvcalls_front_max_order(); where pages
 * to share are short it gets a smaller one, see pvcalls_front_ring_bytes(). Returns 0 and *socket,
 * to be ended with pvcalls_front_release(), or -EINVAL, -ENOMEM or the frontend's error.
 */
int pvcalls_front_socket(struct pvcalls_front *front, uint32_t order,
			 struct pvcalls_front_socket **socket);
/* Has ready(socket, owner) called on events of the socket's data ring; NULL: no longer. */
void pvcalls_front_watch(struct pvcalls_front_socket *socket, pvcalls_front_ready ready,
			 void *owner);

/*
 * Start a call. Return 0, and done is called once, later; or -errno, and it is not: -EINVAL for a
 * socket in the wrong state, -ENOMEM, or the frontend's error. connect makes the socket's data
 * ring; when it failed, the socket can only be released.
 */
int pvcalls_front_connect(struct pvcalls_front_socket *socket, const struct sockaddr_in *address,
			  pvcalls_front_done done, void *context);
int pvcalls_front_bind(struct pvcalls_front_socket *socket, const struct sockaddr_in *address,
		       pvcalls_front_done done, void *context);
int pvcalls_front_listen(struct pvcalls_front_socket *socket, uint32_t backlog,
			 pvcalls_front_done done, void *context);
/* Accepts one connection with a data ring of this order. Several may be in flight. */
int pvcalls_front_accept(struct pvcalls_front_socket *listener, uint32_t order,
			 pvcalls_front_done done, void *context);
/* Finishes when a connection waits on the listener. */
int pvcalls_front_poll(struct pvcalls_front_socket *listener, pvcalls_front_done done,
		       void *context);

/*
 * Ends the socket at once for the caller; the backend still delivers what was written. Its memory
 * is used again after the backend has answered. Calls in flight on it finish unseen.
 */
void pvcalls_front_release(struct pvcalls_front_socket *socket);

/* The same calls, dispatching until they are finished. timeout_ms below 0: no limit; -ETIMEDOUT
 * leaves the call in flight, and the socket can only be released. */
int pvcalls_front_connect_wait(struct pvcalls_front_socket *socket,
			       const struct sockaddr_in *address, int timeout_ms);
int pvcalls_front_bind_wait(struct pvcalls_front_socket *socket, const struct sockaddr_in *address,
			    int timeout_ms);
int pvcalls_front_listen_wait(struct pvcalls_front_socket *socket, uint32_t backlog,
			      int timeout_ms);
int pvcalls_front_accept_wait(struct pvcalls_front_socket *listener, uint32_t order, int timeout_ms,
			      struct pvcalls_front_socket **accepted);

/*
 * The socket's own and its peer's address as the backend told them (either pointer may be NULL).
 * Returns 0, or -ENODATA if the backend does not tell (family is then AF_INET, the rest zero). A
 * listener has only a local port. The own address of a stream may be zero until it is asked for.
 */
int pvcalls_front_names(const struct pvcalls_front_socket *socket, struct sockaddr_in *local,
			struct sockaddr_in *peer);
/*
 * Asks the backend for the own address of a socket that connect or accept made. Returns 0, and done
 * is called once, later: with 0 when pvcalls_front_names() tells it, or with -ENOTCONN when the
 * stream has ended and it won't. Or returns -errno, and it is not: -EALREADY if
 * pvcalls_front_names() tells it already, -EBUSY if it is being asked for, -ENOTCONN as above,
 * -ENODATA if the backend does not tell, -EINVAL for a socket in the wrong state, or the frontend's
 * error.
 */
int pvcalls_front_ask_local(struct pvcalls_front_socket *socket, pvcalls_front_done done,
			    void *context);

/* --- bytes; for sockets that connect or accept made --- */

/* Bytes of one direction of the socket's data ring. */
size_t pvcalls_front_ring_bytes(const struct pvcalls_front_socket *socket);

/*
 * Copy. Return the bytes copied (at least 1), -EAGAIN if there is nothing to read or no room, or
 * the error that ended the direction; read returns 0 at the end of the stream.
 */
ssize_t pvcalls_front_read(struct pvcalls_front_socket *socket, void *buffer, size_t size);
ssize_t pvcalls_front_write(struct pvcalls_front_socket *socket, const void *buffer, size_t size);

/*
 * In place. Return the bytes that are there and where (the second part is empty unless they wrap
 * around), otherwise as read and write. Then take or give at most that many. The backend could
 * change bytes until they are consumed: look once, or copy.
 */
ssize_t pvcalls_front_readable(struct pvcalls_front_socket *socket, struct iovec span[2]);
void pvcalls_front_consume(struct pvcalls_front_socket *socket, size_t bytes);
ssize_t pvcalls_front_writable(struct pvcalls_front_socket *socket, struct iovec span[2]);
void pvcalls_front_commit(struct pvcalls_front_socket *socket, size_t bytes);

/*
 * No more is written: the peer sees the end of the stream after the last byte, and reading goes on.
 * Returns 0, and writing fails with -EPIPE from then on; -EOPNOTSUPP, and nothing has changed, if
 * the backend has no half close (feature-shutdown): there the peer sees the end with the release;
 * or -ENOTCONN or -EPROTO for a socket that can't be written to.
 */
int pvcalls_front_shutdown(struct pvcalls_front_socket *socket);

/* Bytes written that the backend has not taken yet, or -EPROTO. */
ssize_t pvcalls_front_unsent(struct pvcalls_front_socket *socket);

#define PVCALLS_FRONT_READABLE 1u
#define PVCALLS_FRONT_WRITABLE 2u
/*
 * Waits until the socket can be read or written (data, room, end or error; events is a mask of the
 * two), dispatching meanwhile. Returns the mask of what is possible, 0 when the time is over, or
 * the frontend's error.
 */
int pvcalls_front_wait_socket(struct pvcalls_front_socket *socket, uint32_t events, int timeout_ms);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
