/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A query over the segments of a trail.
 *
 * Theory of operation. For the last N rows the segments are asked newest first, each for the place
 * at which its share begins, until there are enough; then the shares are read in order. Nothing is
 * held in memory, so all rows are as good as the last 20.
 */
#include "audit/query/query.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "audit/query/query_cursor.h"
#include "audit/store/segment.h"
#include "base/assert.h"
#include "base/clock.h"

struct query_scan {
	struct query query;
	struct query_reader reader;
	struct query_source source; /* points into query; owns its conditions */

	/* Segments as they were at the last look. One that is passed over has number 0. */
	struct query_part *parts;
	size_t count;

	uint64_t left; /* rows that are still wanted */
	/* Where query_read_new() goes on: the last segment that was read, and what follows its
	 * rows.
	 */
	struct query_part end;
};

/* Looks again which segments there are, in place of those of the last look. */
static int query_list(struct query_scan *scan, struct fault *fault)
{
	struct segment *list = NULL;
	size_t count = 0;
	int error = segment_list(scan->query.dir, &list, &count);
	if (error < 0)
		return fault_set(fault, -error, "%s: %s", scan->query.dir, strerror(-error));
	struct query_part *parts = calloc(count + 1, sizeof(*parts));
	for (size_t i = 0; parts && i < count; i++)
		parts[i] = (struct query_part){.number = list[i].number, .sealed = list[i].sealed};
	free(list);
	if (!parts)
		return fault_set(fault, ENOMEM, "no memory for the list of segments");
	free(scan->parts);
	scan->parts = parts;
	scan->count = count;
	return 0;
}

int query_open(struct query_scan **scan, const struct query *query,
	       const struct query_reader *reader, struct fault *fault)
{
	ASSERT(query->dir && reader->row && reader->passed_over);
	struct query_scan *made = calloc(1, sizeof(*made));
	if (!made)
		return fault_set(fault, ENOMEM, "no memory for the query");
	made->query = *query;
	made->reader = *reader;
	made->left = query->count;
	made->source = (struct query_source){
		.dir = query->dir,
		.filter = &made->query.filter,
		.calls = query_filter_calls(&query->filter),
		.events = query_filter_events(&query->filter),
	};
	int error = made->source.calls && made->source.events
			    ? query_list(made, fault)
			    : fault_set(fault, ENOMEM, "no memory for the query");
	if (error < 0) {
		query_close(made);
		return error;
	}
	*scan = made;
	return 0;
}

void query_close(struct query_scan *scan)
{
	if (!scan)
		return;
	free(scan->source.calls);
	free(scan->source.events);
	free(scan->parts);
	free(scan);
}

/* What can't be read because of its mode is told, and passed over. */
static int query_pass_over(struct query_scan *scan, int error, const struct fault *fault)
{
	if (error != -EACCES)
		return error;
	scan->reader.passed_over(scan->reader.owner, fault->text);
	return 0;
}

/* Finds the place at which the last `left` rows of a segment begin; subtracts what it has. */
static int query_find_start(struct query_scan *scan, struct query_part *part, struct fault *fault)
{
	struct query_cursor cursor;
	bool event = false;
	sqlite3_stmt *row = NULL;
	int error = query_cursor_open(&cursor, &scan->source, part, QUERY_CURSOR_BACKWARDS, fault);
	if (error < 0)
		return error;
	part->from_call = INT64_MAX;
	part->from_event = INT64_MAX;
	while (error == 0 && scan->left > 0 && (row = query_cursor_row(&cursor, &event))) {
		*(event ? &part->from_event : &part->from_call) = sqlite3_column_int64(row, 1);
		scan->left--;
		error = query_cursor_advance(&cursor, fault);
	}
	query_cursor_close(&cursor);
	return error;
}

/* Finds the segments from which the last rows come: from parts[*first] on. */
static int query_find_first(struct query_scan *scan, size_t *first, struct fault *fault)
{
	int error = 0;
	*first = scan->count;
	while (error == 0 && *first > 0 && scan->left > 0) {
		struct query_part *part = &scan->parts[--*first];
		error = query_find_start(scan, part, fault);
		if (error < 0) {
			error = query_pass_over(scan, error, fault);
			part->number = 0;
		}
	}
	return error;
}

/* Gives the reader `most` rows of a segment; *rows grows by those that there were. */
static int query_read_part(struct query_scan *scan, const struct query_part *part, uint64_t most,
			   uint64_t *rows, struct fault *fault)
{
	struct query_cursor cursor;
	bool event = false;
	sqlite3_stmt *row = NULL;
	int error = query_cursor_open(&cursor, &scan->source, part, QUERY_CURSOR_ROWS, fault);
	if (error < 0)
		return error;
	error = query_cursor_end(&cursor, &scan->end, fault);
	scan->end.number = part->number;
	while (error == 0 && most > 0 && (row = query_cursor_row(&cursor, &event))) {
		scan->reader.row(scan->reader.owner, row, event);
		most--;
		(*rows)++;
		error = query_cursor_advance(&cursor, fault);
	}
	query_cursor_close(&cursor);
	return error;
}

static int query_read_last(struct query_scan *scan, struct fault *fault)
{
	size_t first = 0;
	uint64_t rows = 0;
	int error = scan->left == QUERY_ALL ? 0 : query_find_first(scan, &first, fault);
	for (size_t i = first; error == 0 && i < scan->count; i++) {
		if (scan->parts[i].number == 0)
			continue;
		error = query_read_part(scan, &scan->parts[i], QUERY_ALL, &rows, fault);
		if (error < 0)
			error = query_pass_over(scan, error, fault);
	}
	return error;
}

static int query_read_first(struct query_scan *scan, struct fault *fault)
{
	int error = 0;
	for (size_t i = 0; error == 0 && i < scan->count && scan->left > 0; i++) {
		uint64_t rows = 0;
		error = query_read_part(scan, &scan->parts[i], scan->left, &rows, fault);
		if (error < 0)
			error = query_pass_over(scan, error, fault);
		ASSERT(rows <= scan->left);
		scan->left -= rows;
	}
	return error;
}

int query_read(struct query_scan *scan, struct fault *fault)
{
	return scan->query.first ? query_read_first(scan, fault) : query_read_last(scan, fault);
}

int query_read_new(struct query_scan *scan, struct fault *fault)
{
	uint64_t rows = 0;
	int error = query_list(scan, fault);
	for (size_t i = 0; error == 0 && i < scan->count; i++) {
		struct query_part *part = &scan->parts[i];
		if (part->number < scan->end.number)
			continue;
		part->from_call = scan->end.from_call;
		part->from_event = scan->end.from_event;
		error = query_read_part(scan, part, QUERY_ALL, &rows, fault);
	}
	return error;
}

/* A row that came after what was read. */
static bool query_is_later(const struct query_scan *scan, uint64_t segment, int64_t seq, bool event)
{
	const struct query_part *end = &scan->end;
	return segment == end->number && seq >= (event ? end->from_event : end->from_call);
}

/* Counts the rows of a segment. Returns 0, or -errno: -ETIME when end_ns is over. */
static int query_count_part(struct query_scan *scan, const struct query_part *part, uint64_t end_ns,
			    uint64_t *count)
{
	const struct query_part whole = {.number = part->number, .sealed = part->sealed};
	struct query_cursor cursor;
	struct fault fault = {0};
	bool event = false;
	sqlite3_stmt *row = NULL;
	int error =
		query_cursor_open(&cursor, &scan->source, &whole, QUERY_CURSOR_BACKWARDS, &fault);
	if (error < 0)
		return error;
	while (error == 0 && (row = query_cursor_row(&cursor, &event))) {
		*count += !query_is_later(scan, part->number, sqlite3_column_int64(row, 1), event);
		error = query_cursor_advance(&cursor, &fault);
		if (error == 0 && clock_monotonic_ns() >= end_ns)
			error = -ETIME;
	}
	query_cursor_close(&cursor);
	return error;
}

bool query_count(struct query_scan *scan, uint64_t budget_ns, uint64_t *count)
{
	uint64_t end_ns = clock_monotonic_ns() + budget_ns;
	bool all = true;
	*count = 0;
	for (size_t i = scan->count; i > 0; i--) {
		const struct query_part *part = &scan->parts[i - 1];
		int error =
			part->number == 0 ? -EACCES : query_count_part(scan, part, end_ns, count);
		all &= error == 0;
		if (error == -ETIME)
			break;
	}
	return all;
}
