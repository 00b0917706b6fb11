/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ranges of addresses and of ports: reading them as people write them, and keeping them in order.
 */
#ifndef POLICY_RANGES_H
#define POLICY_RANGES_H

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

/* Strictly "a.b.c.d" in decimal without leading zeros. Returns 0, or -EINVAL. */
int address_read(const char *text, uint32_t *address);
/* An address or "a.b.c.d/bits". 0, or -EINVAL with *problem in words (a constant). */
int prefix_read(const char *text, struct range *range, const char **problem);
/* "443" or "8000-8100". 0, or -EINVAL with *problem. */
int port_range_read(const char *text, struct range *range, const char **problem);

#endif
