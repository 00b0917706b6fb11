/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/match/set_classes.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SET_CLASSES_SLOTS 256u

/* Rules come from the operator's own file: a plain mixing hash does. */
static uint64_t set_class_hash(const uint32_t *rules, size_t count)
{
	uint64_t hash = 0x9e3779b97f4a7c15ull ^ count;
	size_t i;

	for (i = 0; i < count; i++) {
		hash ^= rules[i];
		hash *= 0xff51afd7ed558ccdull;
		hash ^= hash >> 32;
	}
	return hash;
}

static bool set_class_is(const struct set_classes *classes, const struct set_class *class,
			 uint64_t hash, const uint32_t *rules, size_t count)
{
	return class->hash == hash && class->count == count &&
	       memcmp(classes->store + class->offset, rules, count * sizeof(*rules)) == 0;
}

const uint32_t *set_classes_find(const struct set_classes *classes, const uint32_t *rules,
				 size_t count)
{
	uint64_t hash = set_class_hash(rules, count);
	size_t slot;

	if (!classes->slot_count)
		return NULL;
	for (slot = hash & (classes->slot_count - 1); classes->slots[slot];
	     slot = (slot + 1) & (classes->slot_count - 1))
		if (set_class_is(classes, &classes->list[classes->slots[slot] - 1], hash, rules,
				 count))
			return &classes->list[classes->slots[slot] - 1].value;
	return NULL;
}

static void set_classes_place(struct set_classes *classes, size_t index)
{
	size_t slot = classes->list[index].hash & (classes->slot_count - 1);

	while (classes->slots[slot])
		slot = (slot + 1) & (classes->slot_count - 1);
	classes->slots[slot] = (uint32_t)index + 1;
}

/* Keeps half of the slots free; the list has room for as many. */
static int set_classes_grow(struct set_classes *classes)
{
	size_t slot_count = classes->slot_count ? classes->slot_count * 2 : SET_CLASSES_SLOTS;
	struct set_class *list;
	uint32_t *slots;
	size_t i;

	if (classes->count < classes->slot_count / 2)
		return 0;
	list = reallocarray(classes->list, slot_count / 2, sizeof(*list));
	if (!list)
		return -ENOMEM;
	classes->list = list;
	slots = calloc(slot_count, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	free(classes->slots);
	classes->slots = slots;
	classes->slot_count = slot_count;
	for (i = 0; i < classes->count; i++)
		set_classes_place(classes, i);
	return 0;
}

static int set_classes_store(struct set_classes *classes, const uint32_t *rules, size_t count)
{
	size_t capacity = classes->store_capacity ? classes->store_capacity : 1024;
	uint32_t *grown;

	while (capacity < classes->stored + count)
		capacity *= 2;
	if (capacity != classes->store_capacity) {
		grown = reallocarray(classes->store, capacity, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		classes->store = grown;
		classes->store_capacity = capacity;
	}
	memcpy(classes->store + classes->stored, rules, count * sizeof(*rules));
	classes->stored += count;
	return 0;
}

int set_classes_add(struct set_classes *classes, const uint32_t *rules, size_t count,
		    uint32_t value)
{
	struct set_class class = {
		.hash = set_class_hash(rules, count),
		.offset = classes->stored,
		.count = (uint32_t)count,
		.value = value,
	};
	int result = set_classes_grow(classes);

	if (!result)
		result = set_classes_store(classes, rules, count);
	if (result)
		return result;
	classes->list[classes->count] = class;
	set_classes_place(classes, classes->count++);
	return 0;
}

void set_classes_free(struct set_classes *classes)
{
	free(classes->list);
	free(classes->slots);
	free(classes->store);
	memset(classes, 0, sizeof(*classes));
}
