/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "library/front_ring.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "ring/shared.h"

#define ERRNO_MAX 4095

void front_ring_reset(struct front_ring *ring)
{
	ring->in_cons = 0;
	ring->out_prod = 0;
	memset(ring->indexes, 0, offsetof(struct indexes_page, ring_order));
	ring->indexes->ring_order = ring->order;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): what is read into the span is written */
static void front_ring_span(struct iovec span[2], uint8_t *base, uint32_t size, uint32_t index,
			    size_t bytes)
{
	uint32_t start = index & (size - 1);
	size_t first = size - start;

	if (!span)
		return;
	if (first > bytes)
		first = bytes;
	span[0] = (struct iovec){.iov_base = base + start, .iov_len = first};
	span[1] = (struct iovec){.iov_base = base, .iov_len = bytes - first};
}

ssize_t front_ring_readable(const struct front_ring *ring, struct iovec span[2])
{
	uint32_t bytes = shared_load(&ring->indexes->in_prod) - ring->in_cons;

	if (bytes > ring->size)
		return -EPROTO;
	front_ring_span(span, ring->in, ring->size, ring->in_cons, bytes);
	return (ssize_t)bytes;
}

ssize_t front_ring_writable(const struct front_ring *ring, struct iovec span[2])
{
	uint32_t used = ring->out_prod - shared_load(&ring->indexes->out_cons);

	if (used > ring->size)
		return -EPROTO;
	front_ring_span(span, ring->out, ring->size, ring->out_prod, ring->size - used);
	return (ssize_t)(ring->size - used);
}

bool front_ring_consume(struct front_ring *ring, size_t bytes)
{
	uint32_t before = ring->in_cons;

	ASSERT(bytes <= ring->size);
	ring->in_cons += (uint32_t)bytes;
	shared_store(&ring->indexes->in_cons, ring->in_cons);
	shared_fence();
	return shared_load(&ring->indexes->in_prod) - before >= ring->size;
}

bool front_ring_commit(struct front_ring *ring, size_t bytes)
{
	uint32_t before = ring->out_prod;

	ASSERT(bytes <= ring->size);
	ring->out_prod += (uint32_t)bytes;
	shared_store(&ring->indexes->out_prod, ring->out_prod);
	shared_fence();
	return shared_load(&ring->indexes->out_cons) == before;
}

void front_ring_end(struct front_ring *ring)
{
	shared_store(&ring->indexes->out_end, 1);
}

void front_ring_ask_local(struct front_ring *ring)
{
	shared_store(&ring->indexes->local_wanted, 1);
}

bool front_ring_local_known(const struct front_ring *ring)
{
	return shared_load(&ring->indexes->local_known) != 0;
}

/* The end of a direction as the backend wrote it, made an errno. */
static int front_ring_error(const int32_t *from)
{
	int32_t error = __atomic_load_n(from, __ATOMIC_ACQUIRE);

	return error > 0 || error < -ERRNO_MAX ? -EIO : error;
}

int front_ring_in_error(const struct front_ring *ring)
{
	return front_ring_error(&ring->indexes->in_error);
}

int front_ring_out_error(const struct front_ring *ring)
{
	return front_ring_error(&ring->indexes->out_error);
}
