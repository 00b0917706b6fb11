/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Questions to a trail, for every program that reads one. What a row looks like is the reader's: it
 * is given the columns of the views `calls` and `events`, see pvcalls-audit-schema(7).
 *
 *   query_open()      the segments there are
 *   query_read()      the rows there are: all that fit, or the first or last of them
 *   query_read_new()  those that came since, as often as it is called
 *   query_count()     how many there are, of which those that were read are the first or last
 *   query_close()
 */
#ifndef AUDIT_QUERY_H
#define AUDIT_QUERY_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "audit/query/query_filter.h"
#include "base/fault.h"

#define QUERY_ALL UINT64_MAX

/* Which rows: of all that fit, the first or last `count`. */
struct query {
	const char *dir; /* the trail's folder; borrowed until query_close() */
	struct query_filter filter;
	uint64_t count; /* QUERY_ALL: all */
	bool first;     /* the first ones instead of the last */
};

/* Who is told of what a query finds. */
struct query_reader {
	/*
	 * A row, oldest first: of the view `calls`, or (event) `events`. The view's columns begin
	 * with column 1. Valid until the return.
	 */
	void (*row)(void *owner, sqlite3_stmt *row, bool event);
	/* A segment that we may not read is passed over; text names it and says why. */
	void (*passed_over)(void *owner, const char *text);
	void *owner;
};

struct query_scan;

/*
 * Lists the segments of query->dir. query and reader are copied. Returns 0 and *scan, or -ENOMEM,
 * or -errno when the folder can't be listed; and *fault.
 */
int query_open(struct query_scan **scan, const struct query *query,
	       const struct query_reader *reader, struct fault *fault);
/* Frees a scan; NULL is left alone. */
void query_close(struct query_scan *scan);

/* Finds the rows that the query asks for. Once. Returns 0, or -errno and *fault. */
int query_read(struct query_scan *scan, struct fault *fault);
/*
 * Finds the rows that were stored since the end of query_read() or of the last query_read_new(); of
 * a query for the first rows it finds those after the last segment that was read. Returns 0, or
 * -errno and *fault.
 */
int query_read_new(struct query_scan *scan, struct fault *fault);
/*
 * After query_read(): counts the rows that fit the filter, up to the end of what was read or the
 * newest segment, for budget_ns at most (looked at from row to row). Returns true if *count is all
 * of them; false if there may be more: time was up, or a segment can't be read.
 */
bool query_count(struct query_scan *scan, uint64_t budget_ns, uint64_t *count);

#endif
