/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rows of one segment that fit a filter: calls and events as one list. */
#ifndef AUDIT_QUERY_CURSOR_H
#define AUDIT_QUERY_CURSOR_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "audit/query/query_filter.h"
#include "base/fault.h"

/* What is looked for, and where: the same for every segment of a query. */
struct query_source {
	const char *dir; /* the trail's folder */
	const struct query_filter *filter;
	char *calls;  /* its conditions: of query_filter_calls() ... */
	char *events; /* ... and query_filter_events() */
};

/* A segment, and from which of its rows on. */
struct query_part {
	uint64_t number; /* of the segment */
	bool sealed;
	int64_t from_call;  /* least seq of a call */
	int64_t from_event; /* least seq of an event */
};

/* How a cursor goes through a segment. */
enum query_cursor_way {
	/* Oldest row first, with all columns of the views from column 1 on. */
	QUERY_CURSOR_ROWS,
	/* Newest row first, with its seq alone, in column 1. */
	QUERY_CURSOR_BACKWARDS,
};

/* Two statements stepped as one list. Column 0 of a row is its place in the order of calls. */
struct query_cursor {
	sqlite3 *db;
	enum query_cursor_way way;
	sqlite3_stmt *calls;
	sqlite3_stmt *events;
	bool has_call;  /* calls stands on a row */
	bool has_event; /* likewise */
};

/*
 * Opens a cursor on a part, standing on the first row. Waits, for 3 s at most, while the segment is
 * being sealed. Returns 0, or -errno and *fault: -EACCES if we may not read it. Owns nothing then.
 */
int query_cursor_open(struct query_cursor *cursor, const struct query_source *source,
		      const struct query_part *part, enum query_cursor_way way,
		      struct fault *fault);
void query_cursor_close(struct query_cursor *cursor);

/* The row that the cursor stands on, and whether it is an event; NULL at the end. */
sqlite3_stmt *query_cursor_row(const struct query_cursor *cursor, bool *event);
/* Goes to the next row; there must be one now. Returns 0, or -errno and *fault. */
int query_cursor_advance(struct query_cursor *cursor, struct fault *fault);

/*
 * Sets from_call and from_event of part to what follows the last rows of this segment, whether they
 * fit the filter or not, as the cursor sees it. Returns 0, or -errno and *fault.
 */
int query_cursor_end(struct query_cursor *cursor, struct query_part *part, struct fault *fault);

#endif
