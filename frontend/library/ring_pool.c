/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "library/ring_pool.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"

static void ring_pool_free_ring(struct ring_pool *pool, struct front_ring *ring)
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

static int ring_pool_make(struct ring_pool *pool, uint32_t order, struct front_ring **result)
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
	ring_pool_free_ring(pool, ring);
	return error;
}

static bool ring_pool_take_idle(struct ring_pool *pool, uint32_t order, struct front_ring **ring)
{
	*ring = pool->idle[order];
	if (!*ring)
		return false;
	pool->idle[order] = (*ring)->next;
	return true;
}

/* Pages are short: a smaller ring serves as well, if more slowly, and so does an idle larger one.
 */
static int ring_pool_take_other(struct ring_pool *pool, uint32_t order, struct front_ring **ring)
{
	int error = -ENOMEM;
	uint32_t other;

	for (other = order; other-- > DATA_ORDER_MIN && error;)
		error = ring_pool_take_idle(pool, other, ring) ? 0
							       : ring_pool_make(pool, other, ring);
	for (other = order + 1; other <= pool->max_order && error; other++)
		error = ring_pool_take_idle(pool, other, ring) ? 0 : error;
	return error;
}

int ring_pool_take(struct ring_pool *pool, uint32_t order, struct front_ring **ring)
{
	int error;

	ASSERT(order <= pool->max_order && pool->max_order <= DATA_ORDER_MAX);
	error = ring_pool_take_idle(pool, order, ring) ? 0 : ring_pool_make(pool, order, ring);
	if (error == -ENOMEM || error == -ENOSPC)
		error = ring_pool_take_other(pool, order, ring);
	if (!error)
		front_ring_reset(*ring);
	return error;
}

void ring_pool_give(struct ring_pool *pool, struct front_ring *ring)
{
	ASSERT(ring->order <= DATA_ORDER_MAX);
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
			ring_pool_free_ring(pool, ring);
		}
	}
}
