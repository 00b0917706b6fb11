/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/plugin_host/meter_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "policy/plugin_host/allowances.h"
#include "policy/plugin_host/counters.h"

#define METER_CHAINS     METERS_MAX /* a power of two */
#define METER_HAND_STEPS 64u        /* meters looked at for one that can be replaced */

static uint32_t meter_table_hash(const char *name)
{
	uint32_t hash = 2166136261u;

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 16777619u;
	return (hash ^ hash >> 15) & (METER_CHAINS - 1);
}

static uint32_t meter_table_find(const struct meter_table *table, const char *name)
{
	uint32_t number;

	if (!table || !table->list)
		return 0;
	for (number = table->chains[meter_table_hash(name)]; number;
	     number = table->list[number - 1].next)
		if (strcmp(table->list[number - 1].name, name) == 0)
			return number;
	return 0;
}

/* Both parts or none. Returns 0, or -1 without memory. */
static int meter_table_allocate(struct meter_table *table)
{
	struct meter_entry *list;
	uint32_t *chains;

	if (table->list)
		return 0;
	list = calloc(METERS_MAX, sizeof(*list));
	chains = calloc(METER_CHAINS, sizeof(*chains));
	if (!list || !chains) {
		free(list);
		free(chains);
		return -1;
	}
	table->list = list;
	table->chains = chains;
	return 0;
}

static void meter_table_remove(struct meter_table *table, uint32_t number)
{
	struct meter_entry *entry = &table->list[number - 1];
	uint32_t *link = &table->chains[meter_table_hash(entry->name)];

	while (*link != number) {
		ASSERT(*link);
		link = &table->list[*link - 1].next;
	}
	*link = entry->next;
	meter_unref(entry->meter);
	memset(entry, 0, sizeof(*entry));
}

/* A meter that nothing holds and that would be full again is as good as a new one. */
static bool meter_entry_is_spent(const struct meter_entry *entry, uint64_t now_ns)
{
	ASSERT(entry->meter);
	if (entry->pinned || entry->meter->refs > 1)
		return false;
	meter_allows(entry->meter, entry->burst, now_ns); /* fills it */
	return entry->meter->tokens >= entry->burst;
}

/* The number of a free place, or 0. */
static uint32_t meter_table_free_place(struct meter_table *table, uint64_t now_ns)
{
	uint32_t step;

	if (table->count < METERS_MAX)
		return ++table->count;
	for (step = 0; step < METER_HAND_STEPS; step++) {
		table->hand = table->hand % METERS_MAX + 1;
		if (!meter_entry_is_spent(&table->list[table->hand - 1], now_ns))
			continue;
		meter_table_remove(table, table->hand);
		return table->hand;
	}
	return 0;
}

static uint64_t meter_entry_key(const struct meter_table *table, const struct meter_entry *entry)
{
	return allowances_key(table->allowances, "meter", entry->name, 0);
}

/* A meter that the guest had before may not be full. */
static void meter_table_recall(const struct meter_table *table, const struct meter_entry *entry)
{
	uint64_t key;

	if (!table->allowances)
		return;
	key = meter_entry_key(table, entry);
	meter_drain(entry->meter, allowances_get(table->allowances, key), clock_monotonic_ns());
}

void meter_table_keep(struct meter_table *table, struct allowances *allowances)
{
	uint32_t i;

	table->allowances = allowances;
	for (i = 0; i < table->count; i++)
		meter_table_recall(table, &table->list[i]);
}

void meter_table_note(const struct meter_table *table)
{
	uint64_t now_ns = clock_monotonic_ns();
	const struct meter_entry *entry;
	uint64_t full_ns;
	uint32_t i;

	for (i = 0; table->allowances && i < table->count; i++) {
		entry = &table->list[i];
		full_ns = meter_full_ns(entry->meter);
		if (full_ns > now_ns)
			allowances_put(table->allowances, meter_entry_key(table, entry), full_ns,
				       now_ns);
	}
}

/* Puts a reference of the caller's into the table. */
static uint32_t meter_table_insert(struct meter_table *table, struct meter *meter, const char *name)
{
	uint32_t number = meter_table_free_place(table, clock_monotonic_ns());
	struct meter_entry *entry;
	uint32_t *chain;

	if (!number) {
		meter_unref(meter);
		return 0;
	}
	entry = &table->list[number - 1];
	chain = &table->chains[meter_table_hash(name)];
	snprintf(entry->name, sizeof(entry->name), "%s", name);
	entry->meter = meter;
	entry->bytes_per_s = meter->bytes_per_s;
	entry->burst = meter->burst;
	entry->next = *chain;
	*chain = number;
	meter_table_recall(table, entry);
	return number;
}

/* Has the meter be as its policy wants it. */
static void meter_table_set(const struct meter_table *table, const struct meter_entry *entry)
{
	meter_set(entry->meter, entry->bytes_per_s, entry->burst);
	entry->meter->counts_only = table->counts_only;
}

uint32_t meter_table_get(struct meter_table *table, const struct meter_table *previous,
			 const char *plugin, const char *key, uint64_t bytes_per_s, uint64_t burst,
			 bool pinned)
{
	char name[METER_KEY_MAX];
	struct meter *meter;
	uint32_t number;
	int length = snprintf(name, sizeof(name), "%s.%s", plugin, key);

	if (length < 0 || (size_t)length >= sizeof(name) || !bytes_per_s || !burst ||
	    meter_table_allocate(table))
		return 0;
	number = meter_table_find(table, name);
	if (!number) {
		number = meter_table_find(previous, name);
		meter = number ? meter_ref(previous->list[number - 1].meter)
			       : meter_create(bytes_per_s, burst, clock_monotonic_ns());
		number = meter ? meter_table_insert(table, meter, name) : 0;
	}
	if (!number)
		return 0;
	table->list[number - 1].bytes_per_s = bytes_per_s;
	table->list[number - 1].burst = burst;
	table->list[number - 1].pinned |= pinned;
	if (!pinned)
		meter_table_set(table, &table->list[number - 1]);
	return number;
}

struct meter *meter_table_at(const struct meter_table *table, uint32_t number)
{
	if (!number || number > table->count)
		return NULL;
	return table->list[number - 1].meter;
}

void meter_table_commit(struct meter_table *table, const struct meter_table *previous)
{
	uint32_t i;

	for (i = 0; previous && i < previous->count; i++)
		if (!previous->list[i].pinned && !meter_table_find(table, previous->list[i].name) &&
		    !meter_table_allocate(table))
			meter_table_insert(table, meter_ref(previous->list[i].meter),
					   previous->list[i].name);
	for (i = 0; i < table->count; i++)
		meter_table_set(table, &table->list[i]);
}

size_t meter_table_write(const struct meter_table *table, char *text, size_t size)
{
	struct counters sums = {0};
	char name[METER_KEY_MAX + sizeof(".over_bytes")];
	const struct meter_entry *entry;
	size_t used;
	uint32_t i;

	for (i = 0; i < table->count; i++) {
		entry = &table->list[i];
		if (!entry->meter->over)
			continue;
		snprintf(name, sizeof(name), "%.*s.over_bytes", (int)strcspn(entry->name, "/"),
			 entry->name);
		counters_add(&sums, NULL, name, entry->meter->over);
	}
	used = counters_write(&sums, text, size);
	counters_free(&sums);
	return used;
}

void meter_table_free(struct meter_table *table)
{
	uint32_t i;

	for (i = 0; i < table->count; i++)
		meter_unref(table->list[i].meter);
	free(table->list);
	free(table->chains);
	memset(table, 0, sizeof(*table));
}
