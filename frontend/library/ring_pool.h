/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where data rings come from and go to. A ring that a socket is done with keeps its pages and its
 * event channel for the next one, since sharing and mapping them costs more than a connection does.
 */
#ifndef LIBRARY_RING_POOL_H
#define LIBRARY_RING_POOL_H

#include <stdint.h>

#include "library/front_ring.h"
#include "transports/front_transport.h"

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

#endif
