/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The meters and counters that plugins made for one guest, by name, and kept across reloads. */
#ifndef POLICY_METERS_H
#define POLICY_METERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/meter.h"
#include "policy/names.h"

#define METERS_MAX    4096u
#define COUNTERS_MAX  256u
#define METER_KEY_MAX 96u /* bytes of plugin name, dot and key, with the NUL */

struct meter_entry {
	struct meter *meter;
	char name[METER_KEY_MAX]; /* "plugin.key" */
	uint64_t bytes_per_s;     /* what it is set to when the policy begins to serve */
	uint64_t burst;
	uint32_t next; /* in its hash chain: 1 + index */
	bool pinned;   /* made in create(): its number stays good */
};

/* Zeroed means: empty. */
struct meters {
	struct meter_entry *list;
	uint32_t *chains; /* 1 + index of the first entry, by hash */
	uint32_t count;
	uint32_t hand; /* where the search for one that can be replaced goes on */
};

/*
 * The number (from 1) of the meter of this plugin and key, made if there is none: previous (may be
 * NULL) is looked into first. pinned meters are only set to their new rate by meters_commit(). 0:
 * too many, no memory, or bad arguments.
 */
uint32_t meters_get(struct meters *meters, const struct meters *previous, const char *plugin,
		    const char *key, uint64_t bytes_per_s, uint64_t burst, bool pinned);
/* The meter of a number, or NULL. */
struct meter *meters_at(const struct meters *meters, uint32_t number);
/* Sets each pinned meter to its rate and takes over what previous has beside (may be NULL). */
void meters_commit(struct meters *meters, const struct meters *previous);
void meters_free(struct meters *meters);

/* Numbers with names. Zeroed means: empty. */
struct counters {
	struct names names;
	uint64_t values[COUNTERS_MAX];
};

/* Adds to "plugin.name"; beyond COUNTERS_MAX names the sum goes nowhere. */
void counters_add(struct counters *counters, const char *plugin, const char *name, uint64_t add);
/* Adds all of previous. */
void counters_take(struct counters *counters, const struct counters *previous);
/* Writes "name value\n" lines; returns the bytes written, less than size. */
size_t counters_write(const struct counters *counters, char *text, size_t size);

#endif
