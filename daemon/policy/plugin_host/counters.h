/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What plugins count for one guest, by name, and kept across reloads. */
#ifndef POLICY_PLUGIN_HOST_COUNTERS_H
#define POLICY_PLUGIN_HOST_COUNTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/plugin_host/name_table.h"

#define COUNTERS_MAX 256u

/* Whether it may be the name of a metric: 1 to 63 letters, digits, "_", "." and "-". */
bool metric_name_is_valid(const char *name, size_t length);

/* Numbers with names. Zeroed means: empty. */
struct counters {
	struct name_table names;
	uint64_t values[COUNTERS_MAX];
};

/* Adds to "plugin.name"; with a name that is none, or beyond COUNTERS_MAX, the sum goes nowhere. */
void counters_add(struct counters *counters, const char *plugin, const char *name, uint64_t add);
/* Adds all of previous. */
void counters_inherit(struct counters *counters, const struct counters *previous);
/* Writes "name value\n" lines; returns the bytes written, less than size. */
size_t counters_write(const struct counters *counters, char *text, size_t size);
void counters_free(struct counters *counters);

#endif
