/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The backend's end of a data ring: `in` carries bytes to the guest, `out` bytes from it.
 *
 * Theory of operation. Indexes run freely modulo 2^32 and are masked on use. in_prod and out_cons
 * are ours and private; the shared copies are written and never read back. in_cons and out_prod are
 * the guest's: loaded once each time and believed only if they leave between 0 and size bytes in
 * the ring. The bytes themselves are never read: the kernel copies them straight between the ring
 * and the socket, through spans of at most two parts.
 *
 * Whoever waits is told, and nobody else: the guest can only be waiting for bytes if it had taken
 * all there were, and for room only if it had filled the ring. Both are seen by loading its index
 * after ours was published, with a full fence between (it does the same in the other order before
 * it sleeps).
 */
#ifndef RING_DATA_RING_H
#define RING_DATA_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "ring/layout.h"

struct data_ring {
	struct indexes_page *indexes; /* shared, borrowed */
	uint8_t *in;                  /* shared, borrowed; size bytes */
	uint8_t *out;                 /* shared, borrowed; size bytes */
	uint32_t size;                /* bytes of one direction, a power of two */
	uint32_t in_prod;
	uint32_t out_cons;
	uint32_t out_last; /* if out_closed: where out_prod was then */
	bool half_close;   /* the guest may set out_end; the owner's, after data_ring_attach() */
	bool in_ended;     /* in_error was written: no byte may follow */
	bool out_ended;    /* out_error was written */
	bool out_closed;   /* the guest writes no more */
};

/* A run of ring bytes, in ring order; the second part is used where it wraps. */
struct ring_span {
	struct iovec part[2];
	int parts;
};

/*
 * Whether the page names these references, in this order, which were good once. Each is loaded
 * once.
 */
bool data_ring_has_refs(const struct indexes_page *indexes, uint32_t order, const uint32_t *refs);
/*
 * Copies order and references from the guest's indexes page, once. Returns the number of references
 * (1 << order) in refs, or -EINVAL if order is outside DATA_ORDER_MIN..max_order, a reference
 * occurs twice or is index_ref itself.
 */
int data_ring_read_refs(const struct indexes_page *indexes, uint32_t max_order, uint32_t index_ref,
			uint32_t refs[DATA_REFS_MAX], uint32_t *order);

/* Starts a ring over mapped pages; data is the span of 1 << order pages. */
void data_ring_attach(struct data_ring *ring, struct indexes_page *indexes, void *data,
		      uint32_t order);

/* Free room of `in`, at most max bytes. Returns its bytes, or -EPROTO for an index out of range. */
ssize_t data_ring_in_room(const struct data_ring *ring, size_t max, struct ring_span *span);
/* bytes of that room, at most as many as it was, were filled. Returns whether the guest may be
 * waiting for them. */
bool data_ring_in_commit(struct data_ring *ring, size_t bytes);

/* Bytes in `out`, at most max. Returns how many, or -EPROTO for an index out of range. */
ssize_t data_ring_out_bytes(const struct data_ring *ring, size_t max, struct ring_span *span);
/* bytes of these, at most as many as there were, were taken. Returns whether the guest may be
 * waiting for room. */
bool data_ring_out_commit(struct data_ring *ring, size_t bytes);

/* Whether the guest says that it writes no more (extension) and `out` is not closed yet. */
bool data_ring_out_closing(const struct data_ring *ring);
/*
 * Closes `out`, which must not be closed yet, where out_prod is now. Neither out_prod nor out_end
 * is loaded again: to tell that a guest goes on writing they would have to be watched, and what it
 * writes then harms nobody.
 */
void data_ring_out_close(struct data_ring *ring);
/* Whether `out` is closed and every byte was taken. */
bool data_ring_out_drained(const struct data_ring *ring);

/* Ends a direction with a negative wire errno, once; later calls are ignored. */
void data_ring_in_end(struct data_ring *ring, int error);
void data_ring_out_end(struct data_ring *ring, int error);

/* Ends both directions of a ring that is served by nobody, with a negative wire errno. */
void data_ring_reset(struct indexes_page *indexes, int error);

/*
 * Writes the socket's names into the page (extension, see struct wire_names); local_known says
 * whether its own is among them.
 */
void data_ring_names(struct data_ring *ring, const struct wire_names *names, bool local_known);
/* Whether the guest asks for the socket's own name (extension). */
bool data_ring_local_wanted(const struct data_ring *ring);

#endif
