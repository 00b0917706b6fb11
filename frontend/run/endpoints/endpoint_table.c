/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/endpoints/endpoint_table.h"

#include <errno.h>
#include <stdio.h>

#include "base/assert.h"

#define BIG_ORDER     8u
#define MANY_STREAMS  32u /* from here on, rings are smaller */
#define MIDDLE_ORDER  6u
#define CROWD_STREAMS 256u
#define SMALL_ORDER   4u
/* In a Xen guest the backend maps and unmaps the pages, and the driver has a limit of them. */
#define XEN_BIG_ORDER 6u
#define XEN_MANY      8u

static struct endpoint **endpoint_table_bucket(struct endpoint_table *table, uint64_t inode)
{
	return &table->bucket[inode % ENDPOINT_BUCKETS];
}

void endpoint_table_add(struct endpoint_table *table, struct endpoint *endpoint)
{
	struct endpoint **bucket = endpoint_table_bucket(table, endpoint->inode);

	ASSERT(endpoint->table == table && endpoint->state != ENDPOINT_GONE);
	endpoint->next = *bucket;
	*bucket = endpoint;
}

void endpoint_table_remove(struct endpoint_table *table, struct endpoint *endpoint)
{
	struct endpoint **at = endpoint_table_bucket(table, endpoint->inode);

	while (*at && *at != endpoint)
		at = &(*at)->next;
	if (*at)
		*at = endpoint->next;
}

struct endpoint *endpoint_table_find(struct endpoint_table *table, uint64_t inode)
{
	struct endpoint *endpoint = *endpoint_table_bucket(table, inode);

	while (endpoint && (endpoint->inode != inode || endpoint->state == ENDPOINT_GONE))
		endpoint = endpoint->next;
	return endpoint;
}

bool endpoint_table_is_short(struct endpoint_table *table, int error)
{
	const char *why;

	if (error != -ENOMEM && error != -ENOSPC)
		return false;
	why = pvcalls_front_shortage(table->front);
	if (why && !table->told_shortage)
		fprintf(stderr, "pvcalls-run: %s\n", why);
	table->told_shortage = true;
	return true;
}

uint32_t endpoint_table_ahead(const struct endpoint_table *table)
{
	uint32_t share = table->listeners ? ACCEPT_AHEAD_ALL / table->listeners : ACCEPT_AHEAD;

	if (share > ACCEPT_AHEAD)
		return ACCEPT_AHEAD;
	return share ? share : 1;
}

/* Rings in use, but for those that one listener has before anybody comes. */
static uint32_t endpoint_table_rings(const struct endpoint_table *table)
{
	uint32_t promised = table->promised;

	return table->streams + (promised > ACCEPT_AHEAD ? promised - ACCEPT_AHEAD : 0);
}

uint32_t endpoint_table_order(const struct endpoint_table *table)
{
	uint32_t rings = endpoint_table_rings(table);
	uint32_t max = pvcalls_front_max_order(table->front);
	uint32_t order = table->order;

	if (!order && pvcalls_front_transport(table->front) == PVCALLS_FRONT_XEN)
		order = rings < XEN_MANY ? XEN_BIG_ORDER : SMALL_ORDER;
	else if (!order)
		order = rings < MANY_STREAMS    ? BIG_ORDER
			: rings < CROWD_STREAMS ? MIDDLE_ORDER
						: SMALL_ORDER;
	return order < max ? order : max;
}
