/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Near misses: the rule that would have matched but for one condition, and it in words. */
#ifndef POLICY_MATCH_NEAR_MISS_H
#define POLICY_MATCH_NEAR_MISS_H

#include "policy/match/set.h"

/* See pvcalls/plugin.h: set_near_miss. The set must be compiled. */
int32_t set_near_miss(const struct pvcalls_set *set, uint32_t op,
		      const struct pvcalls_endpoint *endpoint, char *text, size_t size);

#endif
