/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A table from names to small numbers, in the order in which the names were added. */
#ifndef POLICY_NAMES_H
#define POLICY_NAMES_H

#include <stddef.h>
#include <stdint.h>

#include "policy/arena.h"

#define NAME_NONE UINT32_MAX

/* Zeroed means: empty. */
struct names {
	const char **list;
	uint32_t *slots; /* 1 + index into list, by hash */
	uint32_t count;
	uint32_t slot_count;
	struct arena memory;
};

/* The number of "scope.name" (scope may be NULL: "name"), or NAME_NONE. Never allocates. */
uint32_t names_find(const struct names *names, const char *scope, const char *name);
/* Adds a name that is not there yet: its number, or NAME_NONE when there is no memory. */
uint32_t names_add(struct names *names, const char *scope, const char *name);
void names_free(struct names *names);

#endif
