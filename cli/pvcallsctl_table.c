/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "pvcallsctl.h"

#define CELL_MAX   64
#define COLUMN_MAX 12

struct column {
	const char *heading;
	const char *key;   /* in the row, or ... */
	const char *inner; /* ... of the object `key` in the row; NULL: key itself */
};

void print_safely(const char *text)
{
	for (; *text; text++) {
		if (isprint((unsigned char)*text) && *text != '\\')
			putchar(*text);
		else
			printf("\\x%02x", (unsigned char)*text);
	}
}

static void cell(char text[CELL_MAX], const json_t *row, const struct column *column)
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

static void print_row(const json_t *row, const struct column *columns, size_t count,
		      const size_t *widths)
{
	for (size_t i = 0; i < count; i++) {
		char text[CELL_MAX];

		if (row)
			cell(text, row, &columns[i]);
		else
			snprintf(text, sizeof(text), "%s", columns[i].heading);
		print_safely(text);
		printf("%*s", i + 1 < count ? (int)(widths[i] - strlen(text) + 2) : 0, "");
	}
	putchar('\n');
}

static void print_table(const json_t *rows, const struct column *columns, size_t count)
{
	size_t widths[COLUMN_MAX];
	size_t index;
	json_t *row;

	for (size_t i = 0; i < count; i++) {
		widths[i] = strlen(columns[i].heading);
		json_array_foreach(rows, index, row)
		{
			char text[CELL_MAX];

			cell(text, row, &columns[i]);
			if (strlen(text) > widths[i])
				widths[i] = strlen(text);
		}
	}
	print_row(NULL, columns, count, widths);
	json_array_foreach(rows, index, row) print_row(row, columns, count, widths);
}

void print_guests(const json_t *guests)
{
	static const struct column columns[] = {
		{"GUEST", "name", NULL},        {"DOMID", "domid", NULL},
		{"STATE", "backend", NULL},     {"POLICY", "policy", NULL},
		{"ENGINE", "engine_pid", NULL}, {"SOCKETS", "counters", "sockets"},
		{"CALLS", "counters", "calls"}, {"DENIED", "counters", "denied"},
		{"IN", "counters", "bytes_in"}, {"OUT", "counters", "bytes_out"},
		{"NOTE", "engine", NULL},
	};

	print_table(guests, columns, sizeof(columns) / sizeof(columns[0]));
}

void print_sockets(const json_t *sockets)
{
	static const struct column columns[] = {
		{"GUEST", "guest", NULL}, {"SOCKET", "socket", NULL}, {"PARENT", "parent", NULL},
		{"STATE", "state", NULL}, {"LOCAL", "local", NULL},   {"PEER", "peer", NULL},
		{"IN", "in", NULL},       {"OUT", "out", NULL},       {"NOTE", "engine", NULL},
	};

	print_table(sockets, columns, sizeof(columns) / sizeof(columns[0]));
}

static void print_line(const char *name, const char *text)
{
	printf("%-12s", name);
	print_safely(text);
	putchar('\n');
}

static long long number(const json_t *object, const char *key)
{
	return (long long)json_integer_value(json_object_get(object, key));
}

static const char *string(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "-";
}

static void print_policies(const json_t *policies)
{
	const json_t *files = json_object_get(policies, "files");
	json_t *file;
	size_t index;

	if (json_is_true(json_object_get(policies, "stale"))) {
		puts("policies    STALE: the last reload was refused, older ones are in force");
		print_line("", string(policies, "stale_reason"));
	}
	if (json_array_size(files) == 0)
		puts("policies    none: every call is denied");
	json_array_foreach(files, index, file)
		print_line(index ? "" : "policies", json_string_value(file));
}

void print_status(const json_t *status)
{
	const json_t *writer = json_object_get(status, "writer");

	printf("pvcallsd    %s, process %lld, up %lld s, transport %s\n", string(status, "version"),
	       number(status, "pid"), number(status, "uptime_s"), string(status, "transport"));
	printf("guests      %lld attached, %lld refused\n", number(status, "guests"),
	       number(status, "guests_refused"));
	print_policies(json_object_get(status, "policies"));
	printf("writer      %s, process %lld, restarted %lld times, %lld queues and events open\n",
	       json_is_true(json_object_get(writer, "ready")) ? "ready" : "NOT READY",
	       number(writer, "pid"), number(writer, "restarts"), number(writer, "pending"));
	if (string(writer, "trouble")[0])
		print_line("trouble", string(writer, "trouble"));
	print_line("durability", string(status, "durability"));
	print_line("state", string(status, "state_dir"));
	print_line("plugins", string(status, "plugin_dir"));
}
