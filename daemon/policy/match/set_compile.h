/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From ordered rules to tables: see policy/match/set.h for what they look like. */
#ifndef POLICY_MATCH_SET_COMPILE_H
#define POLICY_MATCH_SET_COMPILE_H

#include "policy/match/set.h"

/*
 * Compiles a set to which all rules were appended; a set that was compiled before is compiled anew.
 * Returns 0, -ENOMEM, or -E2BIG when rules overlap so much that it would not end.
 */
int set_compile(struct pvcalls_set *set);

#endif
