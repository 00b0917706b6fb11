/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Data rings: the pages, grants and event channel of one connection, and the bytes in them.
 *
 * Our own indexes are private; the shared copies are only written. Rings are used again by later
 * connections. Linux's backend unmaps the pages and closes its end of the event channel with each
 * RELEASE, and both can be offered again without asking the hypervisor. Ours leaves both as they
 * are, if it is told that they come again: then nobody asks the hypervisor.
 */
#ifndef PVCALLS_HOOK_RING_H
#define PVCALLS_HOOK_RING_H

#include "hook_session.h"
#include <linux/spinlock.h>
#include <net/sock.h>

/* Our extension, in the page's first padding; network order. See struct wire_names of the daemon.
 */
struct ring_names {
	__be32 local_addr;
	__be32 peer_addr;
	__be16 local_port;
	__be16 peer_port;
};

struct data_ring {
	struct pvcalls_data_intf *shared;
	u8 *in;
	u8 *out;
	u32 size; /* bytes of one direction */
	u32 in_cons;
	u32 out_prod;
	unsigned int order;
	unsigned int generation;
	domid_t domid;
	bool terse;      /* the backend needs no event for a read or write that it can't wait for */
	bool half_close; /* it is told when no more is written */
	bool ended;      /* no more is written */
	evtchn_port_t port;
	int irq;
	spinlock_t lock; /* of owner, which the interrupt looks at */
	struct sock *owner;
	void (*event)(struct sock *owner);
	bool kept; /* has a place in the pool, once it is put */
	struct list_head node;
	grant_ref_t ref;
	unsigned int refs;
	grant_ref_t data_ref[];
};

/* A fresh one, in its initial state, nobody's. */
struct data_ring *ring_get(const struct session_peer *peer);
/* Whether ring_put() will keep it for a later connection. */
bool ring_keep(struct data_ring *ring);
/* The backend must have answered the RELEASE, or be gone. */
void ring_put(struct data_ring *ring);
/* A connect failed, the ring is tried again. */
void ring_reset(struct data_ring *ring);
void rings_drain(void);

void ring_own(struct data_ring *ring, struct sock *owner, void (*event)(struct sock *owner));
void ring_notify(struct data_ring *ring);

u32 ring_readable(const struct data_ring *ring);
u32 ring_unsent(const struct data_ring *ring);
u32 ring_room(const struct data_ring *ring);
int ring_in_error(const struct data_ring *ring);
int ring_out_error(const struct data_ring *ring);
void ring_names(const struct data_ring *ring, struct ring_names *names);
/* Asks for our own address; the answer comes with an event. */
void ring_ask_local(struct data_ring *ring);
bool ring_local_known(const struct data_ring *ring);

/*
 * Bytes moved, or -errno. What was read is skipped over unless `peek`; peeking starts `offset`
 * bytes in. A NULL iterator drops the bytes.
 */
ssize_t ring_read(struct data_ring *ring, struct iov_iter *to, size_t length, bool peek,
		  u32 offset);
ssize_t ring_write(struct data_ring *ring, struct iov_iter *from, size_t length);
/* No more is written, and ring_write() says -EPIPE. One at a time with ring_write(). */
void ring_end(struct data_ring *ring);

#endif
