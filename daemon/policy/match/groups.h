/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names for groups of addresses, and lists of addresses in which such names may be. */
#ifndef POLICY_MATCH_GROUPS_H
#define POLICY_MATCH_GROUPS_H

#include "policy/match/ranges.h"
#include "policy/yaml/errors.h"
#include "policy/yaml/value_tree.h"

#define GROUP_NESTING_MAX 16u      /* groups within groups */
#define GROUP_RANGES_MAX  4194304u /* addresses and prefixes of one group, nested ones included */

struct group;

/* The groups of one policy. Zeroed means: only the built-in ones. */
struct groups {
	struct group *list;
	uint32_t count;
};

/*
 * Reads the map `groups` (may be NULL) and resolves all of it. Adds errors for what is wrong; a
 * group with an error counts as empty.
 */
int groups_read(struct groups *groups, const struct pvcalls_value *map, struct errors *errors);
void groups_free(struct groups *groups);

/*
 * Adds the addresses of value (an address, prefix, group name, or a list of these) to out and
 * normalises it. Returns 0, -EINVAL after errors were added, or -ENOMEM.
 */
int groups_read_nets(const struct groups *groups, const struct pvcalls_value *value,
		     struct ranges *out, struct errors *errors);

#endif
