/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Walking along a line of numbers (addresses or ports) on which rules lie as ranges, and telling at
 * each point where something begins or ends which rules cover what follows.
 */
#ifndef POLICY_MATCH_SWEEP_H
#define POLICY_MATCH_SWEEP_H

#include <stddef.h>
#include <stdint.h>

#include "policy/match/ranges.h"

#define SWEEP_RULES_MAX (1u << 30)

/* Zeroed means: empty. Kept between runs to save allocations. */
struct sweep {
	uint64_t *events;
	size_t count;
	size_t capacity;
	uint32_t *active; /* the rules that cover the current point, ascending */
	size_t active_count;
	size_t active_capacity;
};

/* Rules that cover everything from point to the next call's point. Returns 0, or -errno to stop. */
typedef int (*sweep_fn)(void *context, uint32_t point, const uint32_t *rules, size_t count);

/* Lays a range of a rule down. The ranges of one rule must not overlap or touch. 0 or -ENOMEM. */
int sweep_add(struct sweep *sweep, struct range range, uint32_t rule);
/*
 * Calls step at 0 and at each point up to max where the set of rules changes, in order; then the
 * sweep is empty again. Returns 0, or what step returned, or -ENOMEM.
 */
int sweep_run(struct sweep *sweep, uint32_t max, sweep_fn step, void *context);
void sweep_free(struct sweep *sweep);

#endif
