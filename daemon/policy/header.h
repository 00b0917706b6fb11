/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The part of a policy that is not its chain: which guests it is for, and how it decides. */
#ifndef POLICY_HEADER_H
#define POLICY_HEADER_H

#include <stdbool.h>

#include "policy/errors.h"
#include "policy/tree.h"

/* `version`, `name`, `match`, `mode`, `default`, `on_revoke` as read. */
struct header {
	const char *name; /* the tree's */
	const struct pvcalls_value *match;
	bool audit;
	bool default_allows;
};

/* Reads and checks all of it, adding an error for whatever is wrong. Returns 0 or -EINVAL. */
int header_read(struct header *header, const struct pvcalls_value *root, struct errors *errors);
/* Whether a `match` that was read without error fits the guest. */
bool header_matches(const struct header *header, const struct pvcalls_guest *guest);

#endif
