/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The mapping cache: pages and event channels that stay mapped and bound after RELEASE, for the
 * connection that brings them again.
 *
 * On Xen, mapping and unmapping is most of what a short connection costs. A frontend that keeps its
 * pages says so with `reuse` of RELEASE (section "Release" of the protocol); since Linux' frontend
 * leaves rubbish in that byte, it counts only if the frontend wrote feature-reuse = 1.
 *
 * A frontend may change its mind and never bring them again: what was kept for MAPPING_CACHE_NS is
 * unmapped, so that the guest's memory is its own again.
 */
#ifndef ENGINE_CONNECTIONS_MAPPING_CACHE_H
#define ENGINE_CONNECTIONS_MAPPING_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

struct connection;

#define MAPPING_CACHE_MAX     256u            /* connections of a guest that are kept */
#define MAPPING_CACHE_NS      (10 * NS_PER_S) /* for so long */
#define MAPPING_CACHE_BUCKETS 64u

/* Zeroed means: empty. The connections in it belong to no socket; their pages are mapped. */
struct mapping_cache {
	struct connection
		*buckets[MAPPING_CACHE_BUCKETS]; /* by the reference of the indexes page */
	uint32_t count;
};

/* Keeps a connection from now_ns (monotonic) on. Returns false if there is no room. */
bool mapping_cache_put(struct mapping_cache *cache, struct connection *connection, uint64_t now_ns);
/* Takes the one whose indexes page has this reference out, or returns NULL. */
struct connection *mapping_cache_take(struct mapping_cache *cache, uint32_t ref);
/* Takes one out that was put before this time (monotonic), or returns NULL. */
struct connection *mapping_cache_take_old(struct mapping_cache *cache, uint64_t before_ns);

#endif
