/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ranges of numbers (addresses, ports), kept in order. */
#ifndef POLICY_MATCH_RANGES_H
#define POLICY_MATCH_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Both ends belong to it. Addresses are in host order. */
struct range {
	uint32_t first;
	uint32_t last;
};

/* A growing list of ranges. Zeroed means: empty. */
struct ranges {
	struct range *list;
	size_t count;
	size_t capacity;
};

/* Returns 0 or -ENOMEM. */
int ranges_add(struct ranges *ranges, struct range range);
int ranges_add_all(struct ranges *ranges, const struct ranges *more);
/* Sorts, and joins what overlaps or touches. */
void ranges_normalise(struct ranges *ranges);
/* Whether a normalised list holds the number. */
bool ranges_have(const struct ranges *ranges, uint32_t number);
void ranges_free(struct ranges *ranges);

/* The numbers between those of a normalised list: 0 to UINT32_MAX without them. 0 or -ENOMEM. */
int ranges_complement(struct ranges *out, const struct ranges *ranges);

#endif
