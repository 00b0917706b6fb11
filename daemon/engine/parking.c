/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/parking.h"

#include <stddef.h>

#include "engine/connection.h"

static struct connection **bucket_of(struct parking *parking, uint32_t ref)
{
	return &parking->buckets[ref % PARKING_BUCKETS];
}

bool parking_put(struct parking *parking, struct connection *connection)
{
	struct connection **bucket = bucket_of(parking, connection->ref);

	if (parking->count == PARKING_MAX)
		return false;
	connection->parked_ns = clock_monotonic_ns();
	connection->next = *bucket;
	*bucket = connection;
	parking->count++;
	return true;
}

static struct connection *take(struct parking *parking, struct connection **link)
{
	struct connection *connection = *link;

	*link = connection->next;
	connection->next = NULL;
	parking->count--;
	return connection;
}

struct connection *parking_take(struct parking *parking, uint32_t ref)
{
	struct connection **link;

	for (link = bucket_of(parking, ref); *link; link = &(*link)->next)
		if ((*link)->ref == ref)
			return take(parking, link);
	return NULL;
}

struct connection *parking_take_old(struct parking *parking, uint64_t before_ns)
{
	struct connection **link;
	uint32_t i;

	for (i = 0; i < PARKING_BUCKETS && parking->count; i++)
		for (link = &parking->buckets[i]; *link; link = &(*link)->next)
			if ((*link)->parked_ns < before_ns)
				return take(parking, link);
	return NULL;
}
