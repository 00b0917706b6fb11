/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/connections/mapping_cache.h"

#include <stddef.h>

#include "base/assert.h"
#include "engine/connections/connection.h"

bool mapping_cache_put(struct mapping_cache *cache, struct connection *connection, uint64_t now_ns)
{
	struct connection **bucket = &cache->buckets[connection->ref % MAPPING_CACHE_BUCKETS];

	ASSERT(!connection->socket);
	if (cache->count == MAPPING_CACHE_MAX)
		return false;
	connection->kept_ns = now_ns;
	connection->next = *bucket;
	*bucket = connection;
	cache->count++;
	return true;
}

static struct connection *mapping_cache_unlink(struct mapping_cache *cache,
					       struct connection **link)
{
	struct connection *connection = *link;

	ASSERT(cache->count > 0);
	*link = connection->next;
	connection->next = NULL;
	cache->count--;
	return connection;
}

struct connection *mapping_cache_take(struct mapping_cache *cache, uint32_t ref)
{
	struct connection **link = &cache->buckets[ref % MAPPING_CACHE_BUCKETS];

	for (; *link; link = &(*link)->next)
		if ((*link)->ref == ref)
			return mapping_cache_unlink(cache, link);
	return NULL;
}

struct connection *mapping_cache_take_old(struct mapping_cache *cache, uint64_t before_ns)
{
	struct connection **link;
	uint32_t i;

	for (i = 0; i < MAPPING_CACHE_BUCKETS && cache->count; i++)
		for (link = &cache->buckets[i]; *link; link = &(*link)->next)
			if ((*link)->kept_ns < before_ns)
				return mapping_cache_unlink(cache, link);
	return NULL;
}
