/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/plugin_host/name_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define NAME_TABLE_SLOTS 64u

static uint32_t name_hash_add(uint32_t hash, const char *text)
{
	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 16777619u;
	return hash;
}

static uint32_t name_hash(const char *scope, const char *name)
{
	uint32_t hash = 2166136261u;

	if (scope)
		hash = name_hash_add(name_hash_add(hash, scope), ".");
	hash = name_hash_add(hash, name);
	return hash ^ hash >> 15;
}

static int name_is(const char *full, const char *scope, const char *name)
{
	size_t length;

	if (scope) {
		length = strlen(scope);
		if (strncmp(full, scope, length) != 0 || full[length] != '.')
			return 0;
		full += length + 1;
	}
	return strcmp(full, name) == 0;
}

uint32_t name_table_find(const struct name_table *table, const char *scope, const char *name)
{
	uint32_t slot;

	if (!table->slot_count)
		return NAME_NONE;
	for (slot = name_hash(scope, name) & (table->slot_count - 1); table->slots[slot];
	     slot = (slot + 1) & (table->slot_count - 1))
		if (name_is(table->list[table->slots[slot] - 1], scope, name))
			return table->slots[slot] - 1;
	return NAME_NONE;
}

static void name_table_place(struct name_table *table, uint32_t number)
{
	uint32_t slot = name_hash(NULL, table->list[number]) & (table->slot_count - 1);

	while (table->slots[slot])
		slot = (slot + 1) & (table->slot_count - 1);
	table->slots[slot] = number + 1;
}

static void name_table_place_all(struct name_table *table)
{
	uint32_t i;

	memset(table->slots, 0, table->slot_count * sizeof(*table->slots));
	for (i = 0; i < table->count; i++)
		name_table_place(table, i);
}

static int name_table_grow(struct name_table *table)
{
	uint32_t slot_count = table->slot_count ? table->slot_count * 2 : NAME_TABLE_SLOTS;
	const char **list;
	uint32_t *slots;

	if (table->count < table->slot_count / 2)
		return 0;
	list = reallocarray(table->list, slot_count / 2, sizeof(*list));
	if (!list)
		return -ENOMEM;
	table->list = list;
	slots = reallocarray(table->slots, slot_count, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	table->slots = slots;
	table->slot_count = slot_count;
	name_table_place_all(table);
	return 0;
}

static const char *name_table_copy(struct name_table *table, const char *scope, const char *name)
{
	size_t head = scope ? strlen(scope) + 1 : 0;
	char *full = arena_alloc(&table->memory, head + strlen(name) + 1);

	if (!full)
		return NULL;
	if (scope) {
		memcpy(full, scope, head - 1);
		full[head - 1] = '.';
	}
	memcpy(full + head, name, strlen(name) + 1);
	return full;
}

uint32_t name_table_add(struct name_table *table, const char *scope, const char *name)
{
	const char *full;

	ASSERT(name_table_find(table, scope, name) == NAME_NONE);
	if (name_table_grow(table))
		return NAME_NONE;
	full = name_table_copy(table, scope, name);
	if (!full)
		return NAME_NONE;
	table->list[table->count] = full;
	name_table_place(table, table->count);
	return table->count++;
}

void name_table_free(struct name_table *table)
{
	free(table->list);
	free(table->slots);
	arena_free(&table->memory);
	memset(table, 0, sizeof(*table));
}
