/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of pvcalls-audit. */
#ifndef PVCALLS_AUDIT_H
#define PVCALLS_AUDIT_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/fault.h"

#define AUDIT_TRAIL_DIR "/var/lib/pvcalls/audit"

/* The exit status, as all commands share it. */
enum audit_status {
	AUDIT_FOUND = 0,
	AUDIT_NOTHING = 1, /* no record matches */
	AUDIT_USAGE = 2,
	AUDIT_INPUT = 3,  /* an address, a time, a name is none */
	AUDIT_TRAIL = 4,  /* the trail is out of reach, or not one that this program reads */
	AUDIT_DENIED = 5, /* not permitted */
};

/* --- filters: pvcalls-audit_filter.c --- */

#define FILTER_TERMS_MAX 128u

enum filter_field {
	FILTER_GUEST,
	FILTER_OPERATION,
	FILTER_VERDICT,
	FILTER_DECIDER,
	FILTER_RULE,
	FILTER_POLICY,
	FILTER_ADDRESS,
	FILTER_TO,
	FILTER_FROM,
	FILTER_PORT,
	FILTER_ERRNO,
	FILTER_SOCKET,
	FILTER_SERIAL,
	FILTER_FIELDS,
};

/* One --OPTION VALUE, checked. Texts point into argv. */
struct filter_term {
	enum filter_field field;
	bool negated;
	const char *text;
	int64_t low; /* numbers, ranges */
	int64_t high;
};

/* Which records are wanted; zeroed: all calls. */
struct filter {
	struct filter_term term[FILTER_TERMS_MAX];
	size_t count;
	int64_t since_ns; /* 0: no bound */
	int64_t until_ns; /* 0: no bound; exclusive */
	bool calls;
	bool events;
};

/* Adds a term. Returns 0, or -EINVAL and *fault if value makes no sense for field. */
int filter_add(struct filter *filter, enum filter_field field, bool negated, const char *value,
	       struct fault *fault);
/*
 * The condition on call_log AS c, or on event_log AS e, as SQL; the caller frees it. Values are
 * bound by filter_bind(). NULL: no memory. filter_events(): an impossible condition if a term asks
 * for what events don't have.
 */
char *filter_calls(const struct filter *filter);
char *filter_events(const struct filter *filter);
/* Binds the values of filter_calls() or (events) filter_events() from parameter `first` on. Returns
 * the next free one. */
int filter_bind(const struct filter *filter, bool events, sqlite3_stmt *statement, int first);

/* --- times: pvcalls-audit_time.c --- */

/* Reads RFC 3339, a date, -15m, today, yesterday, boot. Returns 0, or -EINVAL and *fault. */
int time_parse(const char *text, int64_t now_ns, int64_t *time_ns, struct fault *fault);

/* --- output: pvcalls-audit_output.c --- */

enum output_format {
	OUTPUT_TABLE,
	OUTPUT_COMPACT,
	OUTPUT_JSON,
	OUTPUT_JSONL,
	OUTPUT_CSV,
};

struct output {
	FILE *file;
	enum output_format format;
	bool colour;
	uint64_t rows; /* written so far */
};

/* The format of a name. Returns 0, or -EINVAL. */
int output_parse(const char *name, enum output_format *format);
/* Writes one row of the view `calls` or (event) `events`. */
void output_row(struct output *output, sqlite3_stmt *row, bool event);
/* Writes what must follow the last row. */
void output_end(struct output *output);

/* --- the trail: pvcalls-audit_trail.c --- */

#define LIMIT_ALL UINT64_MAX

/* What to print: of all records that match, the first or last `count`. */
struct query {
	const char *dir;
	struct filter filter;
	uint64_t count; /* LIMIT_ALL: all */
	bool first;     /* the first ones instead of the last */
	bool follow;    /* then go on with new ones until killed */
};

/* Runs a query and prints what it finds, oldest first; errors go to standard error. */
enum audit_status trail_query(const struct query *query, struct output *output);

/* --- subcommands --- */

/* pvcalls-audit query; argv[0] is the subcommand's name or the program's. */
enum audit_status query_main(int argc, char **argv);

#endif
