/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Equivalence classes: lists of rules seen before while a set is compiled, and what came of them.
 */
#ifndef POLICY_MATCH_SET_CLASSES_H
#define POLICY_MATCH_SET_CLASSES_H

#include <stddef.h>
#include <stdint.h>

/* One list; its rules lie in the store. */
struct set_class {
	uint64_t hash;
	size_t offset;
	uint32_t count;
	uint32_t value;
};

/* Zeroed means: empty. */
struct set_classes {
	struct set_class *list;
	uint32_t *slots; /* 1 + index into list, by hash; 0: free */
	size_t count;
	size_t slot_count; /* a power of two */
	uint32_t *store;
	size_t stored;
	size_t store_capacity;
};

/* Where the value of this list of rules stands, if it was added; else NULL. */
const uint32_t *set_classes_find(const struct set_classes *classes, const uint32_t *rules,
				 size_t count);
/* Adds a list that is not there yet. Returns 0 or -ENOMEM. */
int set_classes_add(struct set_classes *classes, const uint32_t *rules, size_t count,
		    uint32_t value);
void set_classes_free(struct set_classes *classes);

#endif
