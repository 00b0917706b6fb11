/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What plugins count for one guest, by name, and kept across reloads. */
#ifndef POLICY_PLUGIN_HOST_COUNTERS_H
#define POLICY_PLUGIN_HOST_COUNTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/plugin_host/name_table.h"

#define COUNTERS_MAX      256u
#define COUNTERS_LEFT_OUT "counts_left_out" /* what is said of counts that had no room */

/* Whether it may be the name of a metric: 1 to 63 letters, digits, "_", "." and "-". */
bool metric_name_is_valid(const char *name, size_t length);

/* Numbers with names. Zeroed means: empty. */
struct counters {
	struct name_table names;
	uint64_t values[COUNTERS_MAX];
	uint64_t left_out; /* counts of names beyond them */
};

/*
 * Adds to "plugin.name". With a name that is none the sum goes nowhere; with one beyond
 * COUNTERS_MAX it is only counted as left out.
 */
void counters_add(struct counters *counters, const char *plugin, const char *name, uint64_t add);
/* Adds all of previous. */
void counters_inherit(struct counters *counters, const struct counters *previous);
/*
 * Writes "name value\n" lines, of which one tells how many counts were left out, if any; returns
 * the bytes written, less than size.
 */
size_t counters_write(const struct counters *counters, char *text, size_t size);
void counters_free(struct counters *counters);

#endif
