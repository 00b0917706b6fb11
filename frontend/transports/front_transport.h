/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's seam: how pages are shared, the backend is woken and xenstore nodes are exchanged.
 * Nothing above knows which transport is behind it. It mirrors daemon/transport/transport.h.
 */
#ifndef TRANSPORTS_FRONT_TRANSPORT_H
#define TRANSPORTS_FRONT_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRONT_VALUE_MAX 32 /* bytes of a node's value, with its NUL */

struct front_transport;

/* What a transport does; errors are -errno. */
struct front_transport_ops {
	void (*close)(struct front_transport *transport);
	/*
	 * Shares 1 << order pages, contiguous for us; refs gets the grant of each. 0 and *pages, or
	 * -ENOMEM or another -errno. Their content is undefined.
	 */
	int (*share)(struct front_transport *transport, uint32_t order, void **pages,
		     uint32_t *refs);
	void (*unshare)(struct front_transport *transport, void *pages, uint32_t order);
	/* A new event channel to the backend, below FRONT_PORTS; 0 or -errno. */
	int (*port_open)(struct front_transport *transport, uint32_t *port);
	void (*port_close)(struct front_transport *transport, uint32_t port);
	void (*notify)(struct front_transport *transport, uint32_t port);
	/* The same, but a backend that sleeps need not wake before notify_marked(). */
	void (*mark)(struct front_transport *transport, uint32_t port);
	/* Wakes the backend for all ports that were marked. */
	void (*notify_marked)(struct front_transport *transport);
	/*
	 * Ports with an event, at most max (64 or more); each is taken. Returns their number.
	 * Events of a port may be held back until the next take() or may_sleep().
	 */
	size_t (*take)(struct front_transport *transport, uint32_t *ports, size_t max);
	bool (*pending)(const struct front_transport *transport);
	/* We are about to sleep on event_fd: false if something is pending. awake() ends the sleep.
	 */
	bool (*may_sleep)(struct front_transport *transport);
	void (*awake)(struct front_transport *transport);
	/* Writes "key=value\n" lines into our directory, as one transaction; 0 or -errno. */
	int (*write)(struct front_transport *transport, const char *lines);
	/* Reads a node of the backend's directory, as last heard; 0 or -ENOENT. */
	int (*read)(const struct front_transport *transport, const char *key,
		    char value[FRONT_VALUE_MAX]);
	/*
	 * Takes in what the backend wrote to its directory. 0; -ENETDOWN if the backend is gone; or
	 * the -errno of its refusal, with its words in why (may be NULL).
	 */
	int (*refresh)(struct front_transport *transport, char *why);
};

#define FRONT_PORTS 32768u

/* A transport that is open; the one behind it embeds this as its first member. */
struct front_transport {
	const struct front_transport_ops *ops;
	int event_fd; /* readable when an event may be pending */
	int store_fd; /* readable when refresh() has something to do */
	/* Which limit ended the last share() or port_open() that failed, for people; may be NULL.
	 */
	const char *shortage;
};

/* XenbusState of xen/io/xenbus.h: what frontend and backend each write to their node `state`. */
enum front_state {
	FRONT_UNKNOWN,
	FRONT_INITIALISING, /* nobody uses the device yet */
	FRONT_INIT_WAIT,    /* the backend offers it */
	FRONT_INITIALISED,  /* the frontend has said where its command ring is */
	FRONT_CONNECTED,    /* calls may be made */
	FRONT_CLOSING,      /* one side ends it */
	FRONT_CLOSED,       /* nothing is shared any more */
};

#endif
