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
	else
		counters->left_out++;
}

void counters_inherit(struct counters *counters, const struct counters *previous)
{
	uint32_t i;

	for (i = 0; i < previous->names.count; i++)
		counters_add(counters, NULL, previous->names.list[i], previous->values[i]);
	counters->left_out += previous->left_out;
}

/* Adds a line behind *used bytes, if there is room. */
static bool counters_write_line(char *text, size_t size, size_t *used, const char *name,
				uint64_t value)
{
	int length = snprintf(text + *used, size - *used, "%s %" PRIu64 "\n", name, value);

	if (length < 0 || (size_t)length >= size - *used)
		return false;
	*used += (size_t)length;
	return true;
}

size_t counters_write(const struct counters *counters, char *text, size_t size)
{
	bool room = true;
	size_t used = 0;
	uint32_t i;

	if (counters->left_out)
		room = counters_write_line(text, size, &used, COUNTERS_LEFT_OUT,
					   counters->left_out);
	for (i = 0; room && i < counters->names.count; i++)
		room = counters_write_line(text, size, &used, counters->names.list[i],
					   counters->values[i]);
	return used;
}

void counters_free(struct counters *counters)
{
	name_table_free(&counters->names);
}
