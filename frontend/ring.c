/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shared.h"

#define ERRNO_MAX 4095

static void free_ring(struct ring_pool *pool, struct front_ring *ring)
{
	struct front_transport *transport = pool->transport;

	if (ring->port)
		transport->ops->port_close(transport, ring->port);
	if (ring->in)
		transport->ops->unshare(transport, ring->in, ring->order);
	if (ring->indexes)
		transport->ops->unshare(transport, ring->indexes, 0);
	free(ring);
}

static int make_ring(struct ring_pool *pool, uint32_t order, struct front_ring **result)
{
	struct front_transport *transport = pool->transport;
	struct front_ring *ring = calloc(1, sizeof(*ring));
	void *pages;
	int error;

	if (!ring)
		return -ENOMEM;
	ring->order = order;
	ring->size = DATA_RING_BYTES(order);
	error = transport->ops->share(transport, 0, &pages, &ring->ref);
	if (error)
		goto out;
	ring->indexes = pages;
	error = transport->ops->share(transport, order, &pages, ring->indexes->ref);
	if (error)
		goto out;
	ring->in = pages;
	ring->out = ring->in + ring->size;
	error = transport->ops->port_open(transport, &ring->port);
	if (error)
		goto out;
	*result = ring;
	return 0;
out:
	free_ring(pool, ring);
	return error;
}

/* Empties everything but the references, which stay true for as long as the ring lives. */
static void reset_ring(struct front_ring *ring)
{
	ring->in_cons = 0;
	ring->out_prod = 0;
	memset(ring->indexes, 0, offsetof(struct indexes_page, ring_order));
	ring->indexes->ring_order = ring->order;
}

static bool take_idle(struct ring_pool *pool, uint32_t order, struct front_ring **ring)
{
	*ring = pool->idle[order];
	if (!*ring)
		return false;
	pool->idle[order] = (*ring)->next;
	return true;
}

/* Pages are short: a smaller ring serves as well, if more slowly, and so does an idle larger one.
 */
static int take_other(struct ring_pool *pool, uint32_t order, struct front_ring **ring)
{
	int error = -ENOMEM;
	uint32_t other;

	for (other = order; other-- > DATA_ORDER_MIN && error;)
		error = take_idle(pool, other, ring) ? 0 : make_ring(pool, other, ring);
	for (other = order + 1; other <= pool->max_order && error; other++)
		error = take_idle(pool, other, ring) ? 0 : error;
	return error;
}

int ring_pool_take(struct ring_pool *pool, uint32_t order, struct front_ring **ring)
{
	int error = take_idle(pool, order, ring) ? 0 : make_ring(pool, order, ring);

	if (error == -ENOMEM || error == -ENOSPC)
		error = take_other(pool, order, ring);
	if (!error)
		reset_ring(*ring);
	return error;
}

void ring_pool_give(struct ring_pool *pool, struct front_ring *ring)
{
	ring->next = pool->idle[ring->order];
	pool->idle[ring->order] = ring;
}

void ring_pool_drain(struct ring_pool *pool)
{
	uint32_t order;

	for (order = 0; order <= DATA_ORDER_MAX; order++) {
		while (pool->idle[order]) {
			struct front_ring *ring = pool->idle[order];

			pool->idle[order] = ring->next;
			free_ring(pool, ring);
		}
	}
}

/* NOLINTNEXTLINE(readability-non-const-parameter): what is read into the span is written */
static void set_span(struct iovec span[2], uint8_t *base, uint32_t size, uint32_t index,
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
	uint32_t bytes = front_load(&ring->indexes->in_prod) - ring->in_cons;

	if (bytes > ring->size)
		return -EPROTO;
	set_span(span, ring->in, ring->size, ring->in_cons, bytes);
	return (ssize_t)bytes;
}

ssize_t front_ring_writable(const struct front_ring *ring, struct iovec span[2])
{
	uint32_t used = ring->out_prod - front_load(&ring->indexes->out_cons);

	if (used > ring->size)
		return -EPROTO;
	set_span(span, ring->out, ring->size, ring->out_prod, ring->size - used);
	return (ssize_t)(ring->size - used);
}

bool front_ring_consume(struct front_ring *ring, size_t bytes)
{
	uint32_t before = ring->in_cons;

	ring->in_cons += (uint32_t)bytes;
	front_store(&ring->indexes->in_cons, ring->in_cons);
	front_fence();
	return front_load(&ring->indexes->in_prod) - before >= ring->size;
}

bool front_ring_commit(struct front_ring *ring, size_t bytes)
{
	uint32_t before = ring->out_prod;

	ring->out_prod += (uint32_t)bytes;
	front_store(&ring->indexes->out_prod, ring->out_prod);
	front_fence();
	return front_load(&ring->indexes->out_cons) == before;
}

void front_ring_end(struct front_ring *ring)
{
	front_store(&ring->indexes->out_end, 1);
}

static int sane(const int32_t *from)
{
	int32_t error = __atomic_load_n(from, __ATOMIC_ACQUIRE);

	return error > 0 || error < -ERRNO_MAX ? -EIO : error;
}

int front_ring_in_error(const struct front_ring *ring)
{
	return sane(&ring->indexes->in_error);
}

int front_ring_out_error(const struct front_ring *ring)
{
	return sane(&ring->indexes->out_error);
}
