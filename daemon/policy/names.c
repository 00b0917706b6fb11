/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_FIRST 64u

static uint32_t hash_add(uint32_t hash, const char *text)
{
	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 16777619u;
	return hash;
}

static uint32_t hash_of(const char *scope, const char *name)
{
	uint32_t hash = 2166136261u;

	if (scope)
		hash = hash_add(hash_add(hash, scope), ".");
	hash = hash_add(hash, name);
	return hash ^ hash >> 15;
}

static int is_same(const char *full, const char *scope, const char *name)
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

uint32_t names_find(const struct names *names, const char *scope, const char *name)
{
	uint32_t slot;

	if (!names->slot_count)
		return NAME_NONE;
	for (slot = hash_of(scope, name) & (names->slot_count - 1); names->slots[slot];
	     slot = (slot + 1) & (names->slot_count - 1))
		if (is_same(names->list[names->slots[slot] - 1], scope, name))
			return names->slots[slot] - 1;
	return NAME_NONE;
}

static void place(struct names *names, uint32_t number)
{
	uint32_t slot = hash_of(NULL, names->list[number]) & (names->slot_count - 1);

	while (names->slots[slot])
		slot = (slot + 1) & (names->slot_count - 1);
	names->slots[slot] = number + 1;
}

static void place_all(struct names *names)
{
	uint32_t i;

	memset(names->slots, 0, names->slot_count * sizeof(*names->slots));
	for (i = 0; i < names->count; i++)
		place(names, i);
}

static int make_room(struct names *names)
{
	uint32_t slot_count = names->slot_count ? names->slot_count * 2 : SLOTS_FIRST;
	const char **list;
	uint32_t *slots;

	if (names->count < names->slot_count / 2)
		return 0;
	list = reallocarray(names->list, slot_count / 2, sizeof(*list));
	if (!list)
		return -ENOMEM;
	names->list = list;
	slots = reallocarray(names->slots, slot_count, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	names->slots = slots;
	names->slot_count = slot_count;
	place_all(names);
	return 0;
}

static const char *full_name(struct names *names, const char *scope, const char *name)
{
	size_t head = scope ? strlen(scope) + 1 : 0;
	char *full = arena_alloc(&names->memory, head + strlen(name) + 1);

	if (!full)
		return NULL;
	if (scope) {
		memcpy(full, scope, head - 1);
		full[head - 1] = '.';
	}
	memcpy(full + head, name, strlen(name) + 1);
	return full;
}

uint32_t names_add(struct names *names, const char *scope, const char *name)
{
	const char *full;

	if (make_room(names))
		return NAME_NONE;
	full = full_name(names, scope, name);
	if (!full)
		return NAME_NONE;
	names->list[names->count] = full;
	place(names, names->count);
	return names->count++;
}

void names_free(struct names *names)
{
	free(names->list);
	free(names->slots);
	arena_free(&names->memory);
	memset(names, 0, sizeof(*names));
}
