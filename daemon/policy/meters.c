/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/meters.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define CHAINS     METERS_MAX /* a power of two */
#define HAND_STEPS 64u        /* meters looked at for one that can be replaced */

static uint32_t chain_of(const char *name)
{
	uint32_t hash = 2166136261u;

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 16777619u;
	return (hash ^ hash >> 15) & (CHAINS - 1);
}

static uint32_t find(const struct meters *meters, const char *name)
{
	uint32_t number;

	if (!meters || !meters->list)
		return 0;
	for (number = meters->chains[chain_of(name)]; number;
	     number = meters->list[number - 1].next)
		if (strcmp(meters->list[number - 1].name, name) == 0)
			return number;
	return 0;
}

static int allocate(struct meters *meters)
{
	if (meters->list)
		return 0;
	meters->list = calloc(METERS_MAX, sizeof(*meters->list));
	meters->chains = calloc(CHAINS, sizeof(*meters->chains));
	return meters->list && meters->chains ? 0 : -1;
}

static void unchain(struct meters *meters, uint32_t number)
{
	struct meter_entry *entry = &meters->list[number - 1];
	uint32_t *link = &meters->chains[chain_of(entry->name)];

	while (*link != number)
		link = &meters->list[*link - 1].next;
	*link = entry->next;
	meter_unref(entry->meter);
	memset(entry, 0, sizeof(*entry));
}

/* A meter that nothing holds and that would be full again is as good as a new one. */
static bool is_spent(const struct meter_entry *entry, uint64_t now_ns)
{
	if (entry->pinned || entry->meter->refs > 1)
		return false;
	return meter_allows(entry->meter, entry->burst, now_ns) >= entry->burst;
}

/* The number of a free place, or 0. */
static uint32_t free_place(struct meters *meters, uint64_t now_ns)
{
	uint32_t step;

	if (meters->count < METERS_MAX)
		return ++meters->count;
	for (step = 0; step < HAND_STEPS; step++) {
		meters->hand = meters->hand % METERS_MAX + 1;
		if (!is_spent(&meters->list[meters->hand - 1], now_ns))
			continue;
		unchain(meters, meters->hand);
		return meters->hand;
	}
	return 0;
}

/* Puts a reference of the caller's into the table. */
static uint32_t insert(struct meters *meters, struct meter *meter, const char *name)
{
	uint32_t number = free_place(meters, clock_monotonic_ns());
	struct meter_entry *entry;
	uint32_t *chain;

	if (!number) {
		meter_unref(meter);
		return 0;
	}
	entry = &meters->list[number - 1];
	chain = &meters->chains[chain_of(name)];
	snprintf(entry->name, sizeof(entry->name), "%s", name);
	entry->meter = meter;
	entry->bytes_per_s = meter->bytes_per_s;
	entry->burst = meter->burst;
	entry->next = *chain;
	*chain = number;
	return number;
}

uint32_t meters_get(struct meters *meters, const struct meters *previous, const char *plugin,
		    const char *key, uint64_t bytes_per_s, uint64_t burst, bool pinned)
{
	char name[METER_KEY_MAX];
	struct meter *meter;
	uint32_t number;
	int length = snprintf(name, sizeof(name), "%s.%s", plugin, key);

	if (length < 0 || (size_t)length >= sizeof(name) || !bytes_per_s || !burst ||
	    allocate(meters))
		return 0;
	number = find(meters, name);
	if (!number) {
		number = find(previous, name);
		meter = number ? meter_ref(previous->list[number - 1].meter)
			       : meter_create(bytes_per_s, burst, clock_monotonic_ns());
		number = meter ? insert(meters, meter, name) : 0;
	}
	if (!number)
		return 0;
	meters->list[number - 1].bytes_per_s = bytes_per_s;
	meters->list[number - 1].burst = burst;
	meters->list[number - 1].pinned |= pinned;
	if (!pinned)
		meter_set(meters->list[number - 1].meter, bytes_per_s, burst);
	return number;
}

struct meter *meters_at(const struct meters *meters, uint32_t number)
{
	if (!number || number > meters->count)
		return NULL;
	return meters->list[number - 1].meter;
}

void meters_commit(struct meters *meters, const struct meters *previous)
{
	uint32_t i;

	for (i = 0; i < meters->count; i++)
		meter_set(meters->list[i].meter, meters->list[i].bytes_per_s,
			  meters->list[i].burst);
	for (i = 0; previous && i < previous->count; i++)
		if (!previous->list[i].pinned && !find(meters, previous->list[i].name) &&
		    !allocate(meters))
			insert(meters, meter_ref(previous->list[i].meter), previous->list[i].name);
}

void meters_free(struct meters *meters)
{
	uint32_t i;

	for (i = 0; i < meters->count; i++)
		meter_unref(meters->list[i].meter);
	free(meters->list);
	free(meters->chains);
	memset(meters, 0, sizeof(*meters));
}

void counters_add(struct counters *counters, const char *plugin, const char *name, uint64_t add)
{
	uint32_t number = names_find(&counters->names, plugin, name);

	if (number == NAME_NONE && counters->names.count < COUNTERS_MAX)
		number = names_add(&counters->names, plugin, name);
	if (number != NAME_NONE)
		counters->values[number] += add;
}

void counters_take(struct counters *counters, const struct counters *previous)
{
	uint32_t i;

	for (i = 0; i < previous->names.count; i++)
		counters_add(counters, NULL, previous->names.list[i], previous->values[i]);
}

size_t counters_write(const struct counters *counters, char *text, size_t size)
{
	size_t used = 0;
	uint32_t i;
	int length;

	for (i = 0; i < counters->names.count; i++) {
		length = snprintf(text + used, size - used, "%s %" PRIu64 "\n",
				  counters->names.list[i], counters->values[i]);
		if (length < 0 || (size_t)length >= size - used)
			break;
		used += (size_t)length;
	}
	return used;
}
