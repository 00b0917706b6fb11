/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A table from names to small numbers, in the order in which the names were added. */
#ifndef POLICY_PLUGIN_HOST_NAME_TABLE_H
#define POLICY_PLUGIN_HOST_NAME_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "policy/yaml/arena.h"

#define NAME_NONE UINT32_MAX

/* Zeroed means: empty. */
struct name_table {
	const char **list;
	uint32_t *slots; /* 1 + index into list, by hash */
	uint32_t count;
	uint32_t slot_count;
	struct arena memory;
};

/* The number of "scope.name" (scope may be NULL: "name"), or NAME_NONE. Never allocates. */
uint32_t name_table_find(const struct name_table *table, const char *scope, const char *name);
/* Adds a name that is not there yet: its number, or NAME_NONE when there is no memory. */
uint32_t name_table_add(struct name_table *table, const char *scope, const char *name);
void name_table_free(struct name_table *table);

#endif
