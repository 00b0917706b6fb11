/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's end of a data ring: `in` carries bytes to us, `out` from us. The mirror image of
 * daemon/ring/data_ring.h.
 *
 * in_cons and out_prod are ours and private; the shared copies are written and never read back. The
 * backend's indexes are believed only if they leave between 0 and size bytes in the ring. The
 * backend can only be waiting for bytes if it had taken all there were, and for room only if it had
 * filled the ring; both are seen by loading its index after ours was published.
 */
#ifndef FRONTEND_RING_H
#define FRONTEND_RING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "ring/layout.h"
#include "transport.h"

struct front_ring {
	struct front_ring *next; /* in the pool */
	struct indexes_page *indexes;
	uint8_t *in;
	uint8_t *out;
	uint32_t size; /* bytes of one direction */
	uint32_t order;
	uint32_t ref; /* grant of the indexes page */
	uint32_t port;
	uint32_t in_cons;
	uint32_t out_prod;
};

/* Rings that wait for their next socket, by order. Their pages and ports stay shared. */
struct ring_pool {
	struct front_transport *transport;
	uint32_t max_order; /* of the backend */
	struct front_ring *idle[DATA_ORDER_MAX + 1];
};

/*
 * Takes or makes a ring of this order, or of another one if pages are short; empty. 0 and *ring, or
 * -errno.
 */
int ring_pool_take(struct ring_pool *pool, uint32_t order, struct front_ring **ring);
/* Gives a ring back that the backend does not use any more. */
void ring_pool_give(struct ring_pool *pool, struct front_ring *ring);
/* Frees all idle rings. */
void ring_pool_drain(struct ring_pool *pool);

/* Bytes to read, or room to write, with where it is (span may be NULL); -EPROTO: bad index. */
ssize_t front_ring_readable(const struct front_ring *ring, struct iovec span[2]);
ssize_t front_ring_writable(const struct front_ring *ring, struct iovec span[2]);
/* bytes of these were taken or filled. Return whether the backend may be waiting for that. */
bool front_ring_consume(struct front_ring *ring, size_t bytes);
bool front_ring_commit(struct front_ring *ring, size_t bytes);

/* What was written was the last: the backend is always to be told. */
void front_ring_end(struct front_ring *ring);

/* Why a direction ended: 0 if it did not, else a negative errno (nonsense becomes -EIO). */
int front_ring_in_error(const struct front_ring *ring);
int front_ring_out_error(const struct front_ring *ring);

#endif
