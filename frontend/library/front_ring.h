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
#ifndef LIBRARY_FRONT_RING_H
#define LIBRARY_FRONT_RING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "ring/layout.h"

/* One socket's data ring: an indexes page, and pages of bytes. Made by ring_pool.h. */
struct front_ring {
	struct front_ring *next; /* in ring_pool.h's list */
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

/* Empties a ring but for the references, which stay true for as long as it lives. */
void front_ring_reset(struct front_ring *ring);

/* Bytes to read, or room to write, with where it is (span may be NULL); -EPROTO: bad index. */
ssize_t front_ring_readable(const struct front_ring *ring, struct iovec span[2]);
ssize_t front_ring_writable(const struct front_ring *ring, struct iovec span[2]);
/* bytes of these were taken or filled. Return whether the backend may be waiting for that. */
bool front_ring_consume(struct front_ring *ring, size_t bytes);
bool front_ring_commit(struct front_ring *ring, size_t bytes);

/* What was written was the last: the backend is always to be told. */
void front_ring_end(struct front_ring *ring);

/* Asks for the socket's own address; the backend is to be told. */
void front_ring_ask_local(struct front_ring *ring);
/* Whether it is among the names of the page. */
bool front_ring_local_known(const struct front_ring *ring);

/* Why a direction ended: 0 if it did not, else a negative errno (nonsense becomes -EIO). */
int front_ring_in_error(const struct front_ring *ring);
int front_ring_out_error(const struct front_ring *ring);

#endif
