/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pvcallsctl_table.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CELL_MAX   64
#define COLUMN_MAX 16

#define TABLE_LINE_MAX 4352 /* a path and a name */

struct column {
	const char *heading;
	const char *key;   /* in the row, or ... */
	const char *inner; /* ... of the object `key` in the row; NULL: key itself */
};

void table_print_safely(const char *text)
{
	for (; *text; text++) {
		if (isprint((unsigned char)*text) && *text != '\\')
			putchar(*text);
		else
			printf("\\x%02x", (unsigned char)*text);
	}
}

static void table_cell(char text[CELL_MAX], const json_t *row, const struct column *column)
{
	const json_t *value = json_object_get(row, column->key);

	if (column->inner)
		value = json_object_get(value, column->inner);
	if (json_is_integer(value))
		snprintf(text, CELL_MAX, "%lld", (long long)json_integer_value(value));
	else if (json_is_string(value) && json_string_length(value))
		snprintf(text, CELL_MAX, "%s", json_string_value(value));
	else
		snprintf(text, CELL_MAX, "-");
}

static void table_print_row(const json_t *row, const struct column *columns, size_t count,
			    const size_t *widths)
{
	for (size_t i = 0; i < count; i++) {
		char text[CELL_MAX];

		if (row)
			table_cell(text, row, &columns[i]);
		else
			snprintf(text, sizeof(text), "%s", columns[i].heading);
		table_print_safely(text);
		printf("%*s", i + 1 < count ? (int)(widths[i] - strlen(text) + 2) : 0, "");
	}
	putchar('\n');
}

static void table_print(const json_t *rows, const struct column *columns, size_t count)
{
	size_t widths[COLUMN_MAX];
	size_t index;
	json_t *row;

	for (size_t i = 0; i < count; i++) {
		widths[i] = strlen(columns[i].heading);
		json_array_foreach(rows, index, row)
		{
			char text[CELL_MAX];

			table_cell(text, row, &columns[i]);
			if (strlen(text) > widths[i])
				widths[i] = strlen(text);
		}
	}
	table_print_row(NULL, columns, count, widths);
	json_array_foreach(rows, index, row) table_print_row(row, columns, count, widths);
}

void table_print_guests(const json_t *guests)
{
	static const struct column columns[] = {
		{"GUEST", "name", NULL},          {"DOMID", "domid", NULL},
		{"STATE", "backend", NULL},       {"POLICY", "policy", NULL},
		{"ENGINE", "engine_pid", NULL},   {"SOCKETS", "counters", "sockets"},
		{"CALLS", "counters", "calls"},   {"DENIED", "counters", "denied"},
		{"IN", "counters", "bytes_in"},   {"OUT", "counters", "bytes_out"},
		{"PARKED", "counters", "parked"}, {"SLOTS", "counters", "waiting"},
		{"NOTE", "engine", NULL},
	};

	table_print(guests, columns, sizeof(columns) / sizeof(columns[0]));
}

void table_print_sockets(const json_t *sockets)
{
	static const struct column columns[] = {
		{"GUEST", "guest", NULL}, {"SOCKET", "socket", NULL}, {"PARENT", "parent", NULL},
		{"STATE", "state", NULL}, {"LOCAL", "local", NULL},   {"PEER", "peer", NULL},
		{"IN", "in", NULL},       {"OUT", "out", NULL},       {"NOTE", "engine", NULL},
	};

	table_print(sockets, columns, sizeof(columns) / sizeof(columns[0]));
}

static void table_print_line(const char *name, const char *text)
{
	printf("%-12s", name);
	table_print_safely(text);
	putchar('\n');
}

/* Each line of a text as one. */
static void table_print_lines(const char *name, const char *text)
{
	char *copy = strdup(text);
	char *rest = NULL;

	for (char *line = copy ? strtok_r(copy, "\n", &rest) : NULL; line;
	     line = strtok_r(NULL, "\n", &rest))
		table_print_line(name, line);
	free(copy);
}

static long long table_number(const json_t *object, const char *key)
{
	return (long long)json_integer_value(json_object_get(object, key));
}

static const char *table_string(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "-";
}

static void table_print_policies(const json_t *policies)
{
	const json_t *files = json_object_get(policies, "files");
	const json_t *names = json_object_get(policies, "names");
	char line[TABLE_LINE_MAX];
	json_t *file;
	size_t index;

	if (json_is_true(json_object_get(policies, "stale"))) {
		puts("policies    STALE: the last reload was refused, older ones are in force");
		table_print_lines("", table_string(policies, "stale_reason"));
	}
	if (json_array_size(files) == 0)
		puts("policies    none: every call is denied");
	json_array_foreach(files, index, file)
	{
		const char *name = json_string_value(json_array_get(names, index));

		snprintf(line, sizeof(line), "%s (%s)", name ? name : "?", json_string_value(file));
		table_print_line(index ? "" : "policies", line);
	}
}

/* What plugins have counted, but for what is 0. */
static void table_print_metrics(const json_t *status)
{
	json_t *metrics = json_object_get(status, "metrics");
	const char *heading = "metrics";
	char line[TABLE_LINE_MAX];
	const char *name;
	json_t *value;

	json_object_foreach(metrics, name, value)
	{
		if (!json_integer_value(value))
			continue;
		snprintf(line, sizeof(line), "%s %lld", name, (long long)json_integer_value(value));
		table_print_line(heading, line);
		heading = "";
	}
	if (table_number(status, "metrics_left_out")) {
		printf("%-12s%lld names had no room: count under fewer\n", heading,
		       table_number(status, "metrics_left_out"));
		heading = "";
	}
	if (table_number(status, "engines_silent"))
		printf("%-12s%lld engines did not answer within 1 s and are not in them\n", heading,
		       table_number(status, "engines_silent"));
}

void table_print_status(const json_t *status)
{
	const json_t *writer = json_object_get(status, "writer");

	printf("pvcallsd    %s, process %lld, up %lld s, transport %s\n",
	       table_string(status, "version"), table_number(status, "pid"),
	       table_number(status, "uptime_s"), table_string(status, "transport"));
	printf("guests      %lld attached, %lld refused\n", table_number(status, "guests"),
	       table_number(status, "guests_refused"));
	table_print_policies(json_object_get(status, "policies"));
	printf("writer      %s, process %lld, restarted %lld times, %lld queues and events open\n",
	       json_is_true(json_object_get(writer, "ready")) ? "ready" : "NOT READY",
	       table_number(writer, "pid"), table_number(writer, "restarts"),
	       table_number(writer, "pending"));
	if (table_string(writer, "trouble")[0])
		table_print_line("trouble", table_string(writer, "trouble"));
	table_print_metrics(status);
	table_print_line("durability", table_string(status, "durability"));
	table_print_line("state", table_string(status, "state_dir"));
	table_print_line("plugins", table_string(status, "plugin_dir"));
}
