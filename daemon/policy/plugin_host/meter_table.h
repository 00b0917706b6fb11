/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The meters that plugins made for one guest, by name, and kept across reloads. */
#ifndef POLICY_PLUGIN_HOST_METER_TABLE_H
#define POLICY_PLUGIN_HOST_METER_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/meter.h"

struct allowances; /* policy/plugin_host/allowances.h */

#define METERS_MAX    4096u
#define METER_KEY_MAX 96u /* bytes of plugin name, dot and key, with the NUL */

struct meter_entry {
	struct meter *meter;
	char name[METER_KEY_MAX]; /* "plugin.key" */
	uint64_t bytes_per_s;     /* what it is set to when the policy begins to serve */
	uint64_t burst;
	uint32_t next; /* in its hash chain: 1 + index */
	bool pinned;   /* made in create(): its number stays good */
};

/* Zeroed means: empty, and kept nowhere. */
struct meter_table {
	struct allowances *allowances; /* borrowed; see allowances.h */
	struct meter_entry *list;
	uint32_t *chains; /* 1 + index of the first entry, by hash */
	uint32_t count;
	uint32_t hand;    /* where the search for one that can be replaced goes on */
	bool counts_only; /* mode: audit: its meters hold nothing back */
};

/*
 * The number (from 1) of the meter of this plugin and key, made if there is none: previous (may be
 * NULL) is looked into first. pinned meters are only set to their new rate by meter_table_commit().
 * 0: too many, no memory, or bad arguments.
 */
uint32_t meter_table_get(struct meter_table *table, const struct meter_table *previous,
			 const char *plugin, const char *key, uint64_t bytes_per_s, uint64_t burst,
			 bool pinned);
/* The meter of a number, or NULL. */
struct meter *meter_table_at(const struct meter_table *table, uint32_t number);
/* Sets each pinned meter to its rate and all to what the policy's mode makes of them, and takes
 * over what previous has beside (may be NULL). */
void meter_table_commit(struct meter_table *table, const struct meter_table *previous);
/* From here on meters are kept there, and begin with what stands there (may be NULL). */
void meter_table_keep(struct meter_table *table, struct allowances *allowances);
/* Notes what they stand at. */
void meter_table_note(const struct meter_table *table);
/*
 * Writes "NAME.over_bytes N\n" for meters that bytes have passed over, while they are only counted.
 * NAME is a key up to a "/", if it has one: those that a limit has for addresses are told together.
 * Returns bytes written, less than size.
 */
size_t meter_table_write(const struct meter_table *table, char *text, size_t size);
void meter_table_free(struct meter_table *table);

#endif
