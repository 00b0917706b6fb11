/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rows as a table, one line each, JSON or CSV.
 *
 * Theory of operation. JSON and CSV have every column of the views, under the views' names. The
 * table and the compact form pick what a person looks for. Strings that guests influence are
 * escaped everywhere: of what they say only printable ASCII leaves this program as it is.
 */
#include "pvcalls-audit_output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#define TEXT_MAX 1024 /* bytes of a cell; longer ones are cut */

int output_parse(const char *name, enum output_format *format)
{
	static const char *const names[] = {
		[OUTPUT_TABLE] = "table", [OUTPUT_COMPACT] = "compact", [OUTPUT_JSON] = "json",
		[OUTPUT_JSONL] = "jsonl", [OUTPUT_CSV] = "csv",
	};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(name, names[i]) == 0) {
			*format = (enum output_format)i;
			return 0;
		}
	}
	return -EINVAL;
}

bool output_is_for_people(const struct output *output)
{
	return output->format == OUTPUT_TABLE || output->format == OUTPUT_COMPACT;
}

/* A column by its name; -1 if the row has none. Column 0 is the row's place, not data. */
static int output_column(sqlite3_stmt *row, const char *name)
{
	for (int i = 1; i < sqlite3_column_count(row); i++) {
		if (strcmp(sqlite3_column_name(row, i), name) == 0)
			return i;
	}
	return -EINVAL;
}

/* Copies text with everything but printable ASCII as \xNN; NULL is "". */
static const char *output_escape(const char *text, char out[TEXT_MAX])
{
	size_t used = 0;
	for (; text && *text != '\0' && used + sizeof("\\xNN") < TEXT_MAX; text++) {
		unsigned char byte = (unsigned char)*text;
		if (byte >= 0x20 && byte < 0x7f)
			out[used++] = (char)byte;
		else
			used += (size_t)snprintf(out + used, TEXT_MAX - used, "\\x%02x", byte);
	}
	out[used] = '\0';
	return out;
}

static const char *output_text(sqlite3_stmt *row, const char *name)
{
	int at = output_column(row, name);
	return at < 0 ? NULL : (const char *)sqlite3_column_text(row, at);
}

static const char *output_cell(sqlite3_stmt *row, const char *name, char out[TEXT_MAX])
{
	return output_escape(output_text(row, name), out);
}

/* --- table and compact --- */

#define ENDPOINT_MAX 32 /* bytes of an endpoint with its NUL */

/* One of a row's endpoints, "requested" for example. False, and "", if there is none. */
static bool output_one_endpoint(sqlite3_stmt *row, const char *kind, char out[ENDPOINT_MAX])
{
	char name[32];
	snprintf(name, sizeof(name), "%s_address", kind);
	const char *address = output_text(row, name);
	snprintf(name, sizeof(name), "%s_port", kind);
	snprintf(out, ENDPOINT_MAX, "%s%s%s", address ? address : "", address ? ":" : "",
		 address ? output_text(row, name) : "");
	return !!address;
}

/* "filter/web-out"; the rule where there is one. */
static void output_rule(sqlite3_stmt *row, const char *plugin, const char *rule, char out[TEXT_MAX])
{
	char names[2][TEXT_MAX];
	output_cell(row, plugin, names[0]);
	output_cell(row, rule, names[1]);
	/* Both are far shorter than a cell. */
	snprintf(out, TEXT_MAX, "%.300s%s%.300s", names[0], names[1][0] != '\0' ? "/" : "",
		 names[1]);
}

/* "8.8.8.8:53 -> 10.0.0.53:53 (rewrite/dns)": what was asked for, what was used, and why. */
static void output_rewrite(const struct output *output, sqlite3_stmt *row, char out[TEXT_MAX])
{
	char requested[ENDPOINT_MAX];
	char effective[ENDPOINT_MAX];
	char rule[TEXT_MAX];
	output_one_endpoint(row, "requested", requested);
	output_one_endpoint(row, "effective", effective);
	output_rule(row, "rewriter", "rewrite_rule", rule);
	snprintf(out, TEXT_MAX, "%s %s %s%s%.700s%s", requested, output->arrow, effective,
		 rule[0] != '\0' ? " (" : "", rule, rule[0] != '\0' ? ")" : "");
}

/* The address that a person means: where the call went, or who came. */
static void output_endpoint(const struct output *output, sqlite3_stmt *row, char out[TEXT_MAX])
{
	static const char *const kinds[] = {"effective", "peer", "local"};
	int rewritten = output_column(row, "rewritten");
	out[0] = '\0';
	if (rewritten >= 0 && sqlite3_column_int(row, rewritten) != 0) {
		output_rewrite(output, row, out);
		return;
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (output_one_endpoint(row, kinds[i], out))
			return;
	}
}

static void output_result(sqlite3_stmt *row, char out[TEXT_MAX])
{
	const char *name = output_text(row, "errno_name");
	const char *outcome = output_text(row, "outcome");
	bool cancelled = outcome && strcmp(outcome, "cancelled") == 0;
	if (name && !cancelled)
		snprintf(out, TEXT_MAX, "%s", name);
	else if (outcome && strcmp(outcome, "error") == 0)
		snprintf(out, TEXT_MAX, "errno %s", output_text(row, "errno"));
	else
		snprintf(out, TEXT_MAX, "%s", outcome ? outcome : "");
}

static const char *output_colour(const struct output *output, const char *verdict)
{
	static const struct {
		const char *verdict;
		const char *code;
	} colours[] = {{"deny", "\033[31m"}, {"would_deny", "\033[33m"}, {"fault", "\033[35m"}};
	for (size_t i = 0; output->colour && i < sizeof(colours) / sizeof(colours[0]); i++) {
		if (strcmp(verdict, colours[i].verdict) == 0)
			return colours[i].code;
	}
	return "";
}

/* "filter/web-out", with the reason where there is one. */
static void output_decider(sqlite3_stmt *row, char out[TEXT_MAX])
{
	char rule[TEXT_MAX];
	char reason[TEXT_MAX];
	output_rule(row, "decider", "rule", rule);
	output_cell(row, "reason", reason);
	/* Names and reasons are far shorter than a cell. */
	snprintf(out, TEXT_MAX, "%.600s%s%.300s%s", rule, reason[0] != '\0' ? " (" : "", reason,
		 reason[0] != '\0' ? ")" : "");
}

static void output_print_call(struct output *output, sqlite3_stmt *row)
{
	char time[TEXT_MAX];
	char guest[TEXT_MAX];
	char operation[TEXT_MAX];
	char verdict[TEXT_MAX];
	char endpoint[TEXT_MAX];
	char result[TEXT_MAX];
	char decider[TEXT_MAX];
	bool table = output->format == OUTPUT_TABLE;
	output_cell(row, "time", time);
	output_cell(row, "guest", guest);
	output_cell(row, "operation", operation);
	output_cell(row, "verdict", verdict);
	output_endpoint(output, row, endpoint);
	output_result(row, result);
	output_decider(row, decider);
	const char *colour = output_colour(output, verdict);
	if (table && output->rows == 0)
		fprintf(output->file, "%8s  %-30s  %-16s  %-8s  %-21s  %-10s  %-14s  %s\n", "SEQ",
			"TIME", "GUEST", "CALL", "ADDRESS", "VERDICT", "RESULT", "DECIDED BY");
	fprintf(output->file,
		table ? "%8s  %-30s  %-16s  %-8s  %-21s  %s%-10s%s  %-14s  %s\n"
		      : "%s %s %s %s %s %s%s%s %s %s\n",
		output_text(row, "seq"), time, guest, operation,
		endpoint[0] != '\0' ? endpoint : "-", colour, verdict,
		colour[0] != '\0' ? "\033[0m" : "", result, decider);
}

static void output_print_event(struct output *output, sqlite3_stmt *row)
{
	char time[TEXT_MAX];
	char guest[TEXT_MAX];
	char event[TEXT_MAX];
	char text[TEXT_MAX];
	bool table = output->format == OUTPUT_TABLE;
	output_cell(row, "time", time);
	output_cell(row, "guest", guest);
	output_cell(row, "event", event);
	output_cell(row, "text", text);
	if (table && output->rows == 0)
		fprintf(output->file, "%8s  %-30s  %-16s  %s\n", "SEQ", "TIME", "GUEST", "EVENT");
	fprintf(output->file, table ? "%8s  %-30s  %-16s  %s: %s\n" : "%s %s %s %s: %s\n", "event",
		time, guest[0] != '\0' ? guest : "-", event, text);
}

/* --- JSON --- */

/* A string of the trail; what is no UTF-8 or no printable character is escaped. */
static json_t *json_text(const char *text)
{
	char clean[TEXT_MAX];
	json_t *value = !strchr(text, 0x7f) ? json_string(text) : NULL;
	return value ? value : json_string(output_escape(text, clean));
}

static json_t *json_cell(sqlite3_stmt *row, int at)
{
	if (strcmp(sqlite3_column_name(row, at), "rewritten") == 0)
		return json_boolean(sqlite3_column_int(row, at));
	switch (sqlite3_column_type(row, at)) {
	case SQLITE_INTEGER:
		return json_integer(sqlite3_column_int64(row, at));
	case SQLITE_TEXT:
		return json_text((const char *)sqlite3_column_text(row, at));
	default:
		return json_null();
	}
}

static void json_write(struct output *output, sqlite3_stmt *row, bool event)
{
	json_t *object = json_object();
	json_object_set_new(object, "record", json_string(event ? "event" : "call"));
	for (int i = 1; i < sqlite3_column_count(row); i++)
		json_object_set_new(object, sqlite3_column_name(row, i), json_cell(row, i));
	bool list = output->format == OUTPUT_JSON;
	if (list)
		fputs(output->rows == 0 ? "[\n" : ",\n", output->file);
	json_dumpf(object, output->file, JSON_COMPACT | JSON_ENSURE_ASCII);
	if (!list)
		fputc('\n', output->file);
	json_decref(object);
}

/* --- CSV --- */

/* A spreadsheet takes a cell that begins like this for a formula. */
static bool csv_like_formula(const char *text)
{
	return strchr("=+-@\t\r", text[0]) && text[0] != '\0';
}

static void csv_write_text(FILE *file, const char *text)
{
	char clean[TEXT_MAX];
	fprintf(file, "\"%s", csv_like_formula(text) ? "'" : "");
	for (const char *at = output_escape(text, clean); *at != '\0'; at++) {
		if (*at == '"')
			fputc('"', file);
		fputc(*at, file);
	}
	fputc('"', file);
}

static void csv_write_cell(FILE *file, sqlite3_stmt *row, int at)
{
	if (sqlite3_column_type(row, at) == SQLITE_INTEGER)
		fprintf(file, "%lld", (long long)sqlite3_column_int64(row, at));
	else if (sqlite3_column_type(row, at) == SQLITE_TEXT)
		csv_write_text(file, (const char *)sqlite3_column_text(row, at));
}

static void csv_write(struct output *output, sqlite3_stmt *row)
{
	int count = sqlite3_column_count(row);
	for (int i = 1; output->rows == 0 && i < count; i++)
		fprintf(output->file, "%s%s", i > 1 ? "," : "", sqlite3_column_name(row, i));
	if (output->rows == 0)
		fputs("\r\n", output->file);
	for (int i = 1; i < count; i++) {
		if (i > 1)
			fputc(',', output->file);
		csv_write_cell(output->file, row, i);
	}
	fputs("\r\n", output->file);
}

void output_row(struct output *output, sqlite3_stmt *row, bool event)
{
	switch (output->format) {
	case OUTPUT_TABLE:
	case OUTPUT_COMPACT:
		if (event)
			output_print_event(output, row);
		else
			output_print_call(output, row);
		break;
	case OUTPUT_JSON:
	case OUTPUT_JSONL:
		json_write(output, row, event);
		break;
	case OUTPUT_CSV:
		csv_write(output, row);
		break;
	}
	output->rows++;
}

void output_end(struct output *output)
{
	if (output->format == OUTPUT_JSON)
		fputs(output->rows > 0 ? "\n]\n" : "[]\n", output->file);
	fflush(output->file);
}
