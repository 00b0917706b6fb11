/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/plugin_host/counters.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <pvcalls/plugin.h>

bool metric_name_is_valid(const char *name, size_t length)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_.-";

	return length > 0 && length < PVCALLS_RULE_MAX && strspn(name, letters) >= length;
}

void counters_add(struct counters *counters, const char *plugin, const char *name, uint64_t add)
{
	uint32_t number = name_table_find(&counters->names, plugin, name);

	if (plugin && !metric_name_is_valid(name, strlen(name)))
		return;
	if (number == NAME_NONE && counters->names.count < COUNTERS_MAX)
		number = name_table_add(&counters->names, plugin, name);
	if (number != NAME_NONE)
		counters->values[number] += add;
}

void counters_inherit(struct counters *counters, const struct counters *previous)
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

void counters_free(struct counters *counters)
{
	name_table_free(&counters->names);
}
