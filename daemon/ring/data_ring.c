/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ring/data_ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "ring/shared.h"

static int data_ring_compare_refs(const void *left, const void *right)
{
	uint32_t a = *(const uint32_t *)left;
	uint32_t b = *(const uint32_t *)right;

	return (a > b) - (a < b);
}

/* References in data_ring_refs_ascend order, as honest frontends' allocators give them, need no
 * sorting. */
static bool data_ring_refs_ascend(const uint32_t *refs, uint32_t count)
{
	uint32_t i;

	for (i = 1; i < count; i++)
		if (refs[i] <= refs[i - 1])
			return false;
	return true;
}

static bool data_ring_refs_repeat(const uint32_t *refs, uint32_t count)
{
	uint32_t sorted[DATA_REFS_MAX];

	if (data_ring_refs_ascend(refs, count))
		return false;
	memcpy(sorted, refs, count * sizeof(*refs));
	qsort(sorted, count, sizeof(*sorted), data_ring_compare_refs);
	return !data_ring_refs_ascend(sorted, count);
}

static bool data_ring_refs_contain(const uint32_t *refs, uint32_t count, uint32_t ref)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		if (refs[i] == ref)
			return true;
	return false;
}

bool data_ring_has_refs(const struct indexes_page *indexes, uint32_t order, const uint32_t *refs)
{
	uint32_t i;

	if (shared_load(&indexes->ring_order) != order)
		return false;
	for (i = 0; i < 1u << order; i++)
		if (shared_load(&indexes->ref[i]) != refs[i])
			return false;
	return true;
}

int data_ring_read_refs(const struct indexes_page *indexes, uint32_t max_order, uint32_t index_ref,
			uint32_t refs[DATA_REFS_MAX], uint32_t *order)
{
	uint32_t count;
	uint32_t i;

	*order = shared_load(&indexes->ring_order);
	if (*order < DATA_ORDER_MIN || *order > max_order || *order > DATA_ORDER_MAX)
		return -EINVAL;
	count = 1u << *order;
	for (i = 0; i < count; i++)
		refs[i] = shared_load(&indexes->ref[i]);
	if (data_ring_refs_contain(refs, count, index_ref) || data_ring_refs_repeat(refs, count))
		return -EINVAL;
	return (int)count;
}

void data_ring_attach(struct data_ring *ring, struct indexes_page *indexes, void *data,
		      uint32_t order)
{
	ASSERT(order >= DATA_ORDER_MIN && order <= DATA_ORDER_MAX);
	memset(ring, 0, sizeof(*ring));
	ring->indexes = indexes;
	ring->size = DATA_RING_BYTES(order);
	ring->in = data;
	ring->out = ring->in + ring->size;
}

static void ring_span_set(struct ring_span *span, uint8_t *base, uint32_t size, uint32_t index,
			  size_t bytes)
{
	uint32_t start = index & (size - 1);
	size_t first = size - start;

	ASSERT(bytes <= size);
	if (first > bytes)
		first = bytes;
	span->part[0] = (struct iovec){.iov_base = base + start, .iov_len = first};
	span->part[1] = (struct iovec){.iov_base = base, .iov_len = bytes - first};
	span->parts = bytes > first ? 2 : 1;
}

ssize_t data_ring_in_room(const struct data_ring *ring, size_t max, struct ring_span *span)
{
	uint32_t used = ring->in_prod - shared_load(&ring->indexes->in_cons);
	size_t room;

	if (used > ring->size)
		return -EPROTO;
	room = ring->size - used;
	if (room > max)
		room = max;
	ring_span_set(span, ring->in, ring->size, ring->in_prod, room);
	return (ssize_t)room;
}

bool data_ring_in_commit(struct data_ring *ring, size_t bytes)
{
	uint32_t before = ring->in_prod;

	ASSERT(bytes <= ring->size);
	ring->in_prod += (uint32_t)bytes;
	shared_store(&ring->indexes->in_prod, ring->in_prod);
	shared_fence();
	return shared_load(&ring->indexes->in_cons) == before;
}

static uint32_t data_ring_out_prod(const struct data_ring *ring)
{
	return ring->out_closed ? ring->out_last : shared_load(&ring->indexes->out_prod);
}

ssize_t data_ring_out_bytes(const struct data_ring *ring, size_t max, struct ring_span *span)
{
	uint32_t used = data_ring_out_prod(ring) - ring->out_cons;
	size_t bytes = used;

	if (used > ring->size)
		return -EPROTO;
	if (bytes > max)
		bytes = max;
	ring_span_set(span, ring->out, ring->size, ring->out_cons, bytes);
	return (ssize_t)bytes;
}

bool data_ring_out_commit(struct data_ring *ring, size_t bytes)
{
	uint32_t before = ring->out_cons;

	ASSERT(bytes <= ring->size);
	ring->out_cons += (uint32_t)bytes;
	shared_store(&ring->indexes->out_cons, ring->out_cons);
	shared_fence();
	return data_ring_out_prod(ring) - before >= ring->size;
}

bool data_ring_out_closing(const struct data_ring *ring)
{
	return ring->half_close && !ring->out_closed && shared_load(&ring->indexes->out_end);
}

void data_ring_out_close(struct data_ring *ring)
{
	ASSERT(!ring->out_closed);
	ring->out_last = data_ring_out_prod(ring);
	ring->out_closed = true;
}

bool data_ring_out_drained(const struct data_ring *ring)
{
	return ring->out_closed && ring->out_last == ring->out_cons;
}

static void data_ring_end(int32_t *field, bool *ended, int error)
{
	ASSERT(error < 0);
	if (*ended)
		return;
	*ended = true;
	__atomic_store_n(field, error, __ATOMIC_RELEASE);
}

void data_ring_in_end(struct data_ring *ring, int error)
{
	data_ring_end(&ring->indexes->in_error, &ring->in_ended, error);
}

void data_ring_out_end(struct data_ring *ring, int error)
{
	data_ring_end(&ring->indexes->out_error, &ring->out_ended, error);
}

void data_ring_reset(struct indexes_page *indexes, int error)
{
	__atomic_store_n(&indexes->in_error, error, __ATOMIC_RELEASE);
	__atomic_store_n(&indexes->out_error, error, __ATOMIC_RELEASE);
}

void data_ring_names(struct data_ring *ring, const struct wire_names *names, bool local_known)
{
	volatile struct wire_names *shared = &ring->indexes->names;

	shared->local_addr = names->local_addr;
	shared->peer_addr = names->peer_addr;
	shared->local_port = names->local_port;
	shared->peer_port = names->peer_port;
	__atomic_store_n(&ring->indexes->local_known, local_known, __ATOMIC_RELEASE);
}

bool data_ring_local_wanted(const struct data_ring *ring)
{
	return shared_load(&ring->indexes->local_wanted) != 0;
}
