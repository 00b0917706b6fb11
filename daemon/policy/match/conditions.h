/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a rule of a policy is for, as written: operations, addresses and ports. */
#ifndef POLICY_MATCH_CONDITIONS_H
#define POLICY_MATCH_CONDITIONS_H

#include "policy/match/groups.h"
#include "policy/match/set.h"

/*
 * Reads a map with net, ports or both into a rule, whose other members stay as they are; NULL
 * matches all. What was read has to be freed, also after an error. Returns 0, -EINVAL after errors
 * were added, or -ENOMEM.
 */
int conditions_read(const struct groups *groups, const struct pvcalls_value *match,
		    struct set_rule *rule, struct errors *errors);

/*
 * Reads one operation or a list of them into *mask (bits 1 << PVCALLS_OP_...), each of them one
 * that allowed has. Returns 0, or -EINVAL after errors were added.
 */
int conditions_read_ops(const struct pvcalls_value *value, uint32_t allowed, uint32_t *mask,
			struct errors *errors);

#endif
