/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/control/engine_report.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/decimal.h"

#define REPORT_KEY_MAX   96
#define REPORT_VALUE_MAX 1024

/* A value as JSON. What an engine says may stem from a guest: bytes that JSON can't hold go. */
static json_t *engine_report_value(const char *text)
{
	uint64_t number;
	json_t *value;
	char *copy;

	if (decimal_read(text, INT64_MAX, &number) == 0)
		return json_integer((json_int_t)number);
	value = json_string(text);
	if (value)
		return value;
	copy = strdup(text);
	for (char *c = copy; c && *c; c++) {
		if (*c & 0x80)
			*c = '?';
	}
	value = copy ? json_string(copy) : NULL;
	free(copy);
	return value;
}

/* Takes the next line off *text into key and value. Returns false at the end. */
static bool engine_report_next_line(const char **text, char *key, size_t key_size, char *value,
				    size_t value_size)
{
	size_t length = strcspn(*text, "\n");
	size_t key_length = strcspn(*text, " \n");

	if ((*text)[0] == '\0')
		return false;
	snprintf(key, key_size, "%.*s", (int)key_length, *text);
	if (key_length < length)
		snprintf(value, value_size, "%.*s", (int)(length - key_length - 1),
			 *text + key_length + 1);
	else
		value[0] = '\0';
	*text += length + ((*text)[length] == '\n');
	return true;
}

void engine_report_add(json_t *object, const char *text)
{
	char key[REPORT_KEY_MAX];
	char value[REPORT_VALUE_MAX];

	while (engine_report_next_line(&text, key, sizeof(key), value, sizeof(value)))
		json_object_set_new(object, key, engine_report_value(value));
}

uint32_t engine_report_sum(json_t *object, const char *text)
{
	char key[REPORT_KEY_MAX];
	char value[REPORT_VALUE_MAX];
	const json_t *sum;
	size_t room = json_object_size(object) + REPORT_NEW_MAX;
	uint32_t left_out = 0;
	uint64_t number;

	if (room > REPORT_SUMS_MAX)
		room = REPORT_SUMS_MAX;
	while (engine_report_next_line(&text, key, sizeof(key), value, sizeof(value))) {
		sum = json_object_get(object, key);
		if (decimal_read(value, INT64_MAX, &number))
			continue;
		if (!sum && json_object_size(object) >= room) {
			left_out++;
			continue;
		}
		number += (uint64_t)json_integer_value(sum);
		json_object_set_new(object, key, json_integer((json_int_t)(number & INT64_MAX)));
	}
	return left_out;
}

/* Adds the "key value key value" pairs of one line. */
static void engine_report_add_pairs(json_t *object, char *line)
{
	char *rest = NULL;
	char *key = strtok_r(line, " ", &rest);

	while (key) {
		char *value = strtok_r(NULL, " ", &rest);

		if (!value)
			return;
		json_object_set_new(object, key, engine_report_value(value));
		key = strtok_r(NULL, " ", &rest);
	}
}

json_t *engine_report_sockets(const char *text)
{
	json_t *array = json_array();
	char *copy = strdup(text);
	char *rest = NULL;

	if (!array || !copy) {
		free(copy);
		return array;
	}
	for (char *line = strtok_r(copy, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		json_t *object = json_object();

		engine_report_add_pairs(object, line);
		json_array_append_new(array, object);
	}
	free(copy);
	return array;
}
