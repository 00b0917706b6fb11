/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Near misses: the rule that came nearest to matching, and in words what kept it away. One for the
 * operation comes before one for another, whatever else it asks for; of those, one that misses by
 * the port alone before one that misses by the address, and the first that misses by both is last.
 */
#ifndef POLICY_MATCH_NEAR_MISS_H
#define POLICY_MATCH_NEAR_MISS_H

#include "policy/match/set.h"

/* See pvcalls/plugin.h: set_near_miss, set_nearest. The set must be compiled. */
int32_t set_near_miss(const struct pvcalls_set *set, uint32_t op,
		      const struct pvcalls_endpoint *endpoint, char *text, size_t size);
int32_t set_nearest(const struct pvcalls_set *set, uint32_t op,
		    const struct pvcalls_endpoint *endpoint, char *text, size_t size,
		    uint32_t *misses);

#endif
