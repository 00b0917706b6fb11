/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The part of a policy that is not its chain: which guests it is for, and how it decides. */
#ifndef POLICY_POLICY_HEADER_H
#define POLICY_POLICY_HEADER_H

#include <stdbool.h>

#include "policy/yaml/value_tree.h"

/* `version`, `name`, `match`, `mode`, `default`, `on_revoke` as read. */
struct policy_header {
	const char *name; /* the tree's */
	const struct pvcalls_value *match;
	bool audit;
	bool default_allows;
};

/* Reads and checks all of it, adding an error for whatever is wrong. Returns 0 or -EINVAL. */
int policy_header_read(struct policy_header *header, const struct pvcalls_value *root,
		       struct errors *errors);
/* Whether a `match` that was read without error fits the guest. */
bool policy_header_matches(const struct policy_header *header, const struct pvcalls_guest *guest);
/* Whether certainly every guest that narrow fits is one that wide fits. */
bool policy_header_covers(const struct policy_header *wide, const struct policy_header *narrow);

#endif
