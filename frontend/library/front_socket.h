/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sockets of the library: their memory, their data ring, their names. */
#ifndef LIBRARY_FRONT_SOCKET_H
#define LIBRARY_FRONT_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include <pvcalls/frontend.h>

#include "library/front_ring.h"

enum socket_state {
	SOCKET_NEW,        /* nothing but SOCKET was called for it */
	SOCKET_CONNECTING, /* CONNECT or, as the one to be accepted, ACCEPT is pending */
	SOCKET_ACTIVE,     /* connected or accepted: has a stream */
	SOCKET_FAILED,     /* CONNECT failed: it can only be released */
	SOCKET_PASSIVE,    /* bound or listening */
};

struct front_call;

struct pvcalls_front_socket {
	struct pvcalls_front *front;
	struct pvcalls_front_socket *next; /* of all, or of the free ones */
	struct pvcalls_front_socket *previous;
	struct front_ring *ring;    /* from connect or accept on */
	struct front_call *release; /* its RELEASE, made before the backend knows it; or NULL */
	pvcalls_front_ready ready;
	void *owner;
	uint64_t id;
	enum socket_state state;
	uint32_t order;
	uint32_t calls;                 /* pending ones */
	uint32_t accepts;               /* of these, ACCEPTs in flight */
	int broken;                     /* -EPROTO after the backend broke its data ring */
	int socket_error;               /* what SOCKET was answered */
	bool shut;                      /* nothing more is written */
	bool announced;                 /* SOCKET was queued */
	bool released;                  /* gone for the caller */
	bool local_known;               /* the own address among names is what the host has */
	pvcalls_front_done local_asked; /* to be called when it is there; NULL: nobody asks */
	void *local_context;
	struct wire_names names;
};

/* A new socket of the frontend, whose ring will have this order; NULL: no memory. */
struct pvcalls_front_socket *front_socket_new(struct pvcalls_front *front, uint32_t order);
/* Gives everything of a socket back; no call may be pending on it. */
void front_socket_free(struct pvcalls_front_socket *socket);
/* Gives the memory of all sockets back, whatever is pending on them: the frontend's end. */
void front_socket_free_all(struct pvcalls_front *front);
/* Gives the socket a ring, of its order or what there is. 0, or -errno of ring_pool_take(). */
int front_socket_take_ring(struct pvcalls_front_socket *socket);
/* The socket's ring is in use: it has a stream, and its names if the backend tells them. */
void front_socket_activate(struct pvcalls_front_socket *socket);

#endif
