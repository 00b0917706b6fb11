/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages and event channels that stay mapped and bound after RELEASE, for the connection that brings
 * them again.
 *
 * On Xen, mapping and unmapping is most of what a short connection costs. A frontend that keeps its
 * pages says so with `reuse` of RELEASE (section "Release" of the protocol); since Linux' frontend
 * leaves rubbish in that byte, it counts only if the frontend wrote feature-reuse = 1.
 *
 * A frontend may change its mind and never bring them again: what was parked for PARKING_NS is
 * unmapped, so that the guest's memory is its own again.
 */
#ifndef ENGINE_PARKING_H
#define ENGINE_PARKING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

struct connection;
struct engine;

#define PARKING_MAX     256u            /* connections of a guest that are parked */
#define PARKING_NS      (10 * NS_PER_S) /* for so long */
#define PARKING_BUCKETS 64u

struct parking {
	struct connection *buckets[PARKING_BUCKETS]; /* by the reference of the indexes page */
	uint32_t count;
};

/* Keeps a connection that belongs to no socket any more. Returns false if there is no room. */
bool parking_put(struct parking *parking, struct connection *connection);
/* Takes the one with this reference out, or NULL. */
struct connection *parking_take(struct parking *parking, uint32_t ref);
/* Takes one out that was parked before this time (monotonic), or NULL. */
struct connection *parking_take_old(struct parking *parking, uint64_t before_ns);

#endif
