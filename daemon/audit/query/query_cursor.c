/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation. Calls and events are two tables; an event knows the last call before it,
 * which gives one order for both. A sealed segment is opened as an immutable file, a live one as
 * any reader does, and never checkpointed. Both statements read in one transaction, so that they
 * see one state of the segment.
 */
#include "audit/query/query_cursor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "audit/store/schema.h"
#include "audit/store/segment.h"
#include "audit/store/sql.h"
#include "base/assert.h"
#include "base/clock.h"

#define RETRY_NS (100 * NS_PER_MS) /* a segment that is being sealed can't be read for a moment */
#define RETRIES  30

/* A path as part of a URI. Returns 0, or -ENAMETOOLONG. */
static int cursor_make_uri(char uri[SEGMENT_PATH_MAX], const char *path)
{
	size_t used = (size_t)snprintf(uri, SEGMENT_PATH_MAX, "file:");
	for (; *path != '\0'; path++) {
		if (used + sizeof("%00?immutable=1") > SEGMENT_PATH_MAX)
			return -ENAMETOOLONG;
		if (!strchr("%?#", *path))
			uri[used++] = *path;
		else
			used += (size_t)snprintf(uri + used, SEGMENT_PATH_MAX - used, "%%%02X",
						 (unsigned)*path);
	}
	snprintf(uri + used, SEGMENT_PATH_MAX - used, "?immutable=1");
	return 0;
}

static int cursor_open_segment(struct query_cursor *cursor, const char *dir,
			       const struct query_part *part, struct fault *fault)
{
	char path[SEGMENT_PATH_MAX];
	char uri[SEGMENT_PATH_MAX];
	if (segment_path(path, dir, part->number) < 0 || cursor_make_uri(uri, path) < 0)
		return fault_set(fault, ENAMETOOLONG, "%s: the name is too long", dir);
	if (access(path, R_OK) < 0)
		return fault_set(fault, errno, "%s: %s", path, strerror(errno));
	int error = part->sealed ? sql_open(&cursor->db, uri,
					    SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, fault)
				 : sql_open(&cursor->db, path, SQLITE_OPEN_READONLY, fault);
	if (error < 0)
		return error;
	sqlite3_db_config(cursor->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	error = schema_check(cursor->db, path, fault);
	return error == 0 ? schema_cover(cursor->db, fault) : error;
}

static int cursor_step(struct query_cursor *cursor, bool events, struct fault *fault)
{
	int code = sqlite3_step(events ? cursor->events : cursor->calls);
	bool *has = events ? &cursor->has_event : &cursor->has_call;
	*has = code == SQLITE_ROW;
	return code == SQLITE_ROW || code == SQLITE_DONE ? 0
							 : sql_fault(cursor->db, "reading", fault);
}

/* Prepares one of the two statements and puts it on its first row. */
static int cursor_prepare(struct query_cursor *cursor, const struct query_source *source,
			  bool events, int64_t from, struct fault *fault)
{
	static const char *const texts[2][2] = {
		[QUERY_CURSOR_ROWS] =
			{"SELECT c.seq, v.* FROM call_log AS c JOIN calls AS v ON v.seq = c.seq"
			 " WHERE %s AND c.seq >= ? ORDER BY c.seq",
			 "SELECT e.after_call, v.* FROM event_log AS e"
			 " JOIN events AS v ON v.seq = e.seq"
			 " WHERE %s AND e.seq >= ? ORDER BY e.seq"},
		[QUERY_CURSOR_BACKWARDS] = {"SELECT c.seq, c.seq FROM call_log AS c"
					    " WHERE %s AND c.seq >= ? ORDER BY c.seq DESC",
					    "SELECT e.after_call, e.seq FROM event_log AS e"
					    " WHERE %s AND e.seq >= ? ORDER BY e.seq DESC"},
	};
	char *text = sqlite3_mprintf(texts[cursor->way][events],
				     events ? source->events : source->calls);
	if (!text)
		return fault_set(fault, ENOMEM, "no memory for the query");
	sqlite3_stmt **statement = events ? &cursor->events : &cursor->calls;
	int error = sql_prepare(cursor->db, statement, text, fault);
	sqlite3_free(text);
	if (error < 0)
		return error;
	int next = query_filter_bind(source->filter, events, *statement, 1);
	sqlite3_bind_int64(*statement, next, from);
	return cursor_step(cursor, events, fault);
}

static int cursor_try_open(struct query_cursor *cursor, const struct query_source *source,
			   const struct query_part *part, struct fault *fault)
{
	int error = cursor_open_segment(cursor, source->dir, part, fault);
	if (error == 0)
		error = sql_run(cursor->db, "BEGIN", fault);
	if (error == 0)
		error = cursor_prepare(cursor, source, false, part->from_call, fault);
	if (error == 0)
		error = cursor_prepare(cursor, source, true, part->from_event, fault);
	return error;
}

int query_cursor_open(struct query_cursor *cursor, const struct query_source *source,
		      const struct query_part *part, enum query_cursor_way way, struct fault *fault)
{
	static const struct timespec retry = {.tv_nsec = RETRY_NS};
	int error = 0;
	ASSERT(part->number > 0);
	for (int attempt = 0; attempt < RETRIES; attempt++) {
		*cursor = (struct query_cursor){.way = way};
		error = cursor_try_open(cursor, source, part, fault);
		if (error == 0)
			return 0;
		query_cursor_close(cursor);
		if (part->sealed || (error != -EBUSY && error != -EROFS))
			break;
		nanosleep(&retry, NULL);
	}
	return error;
}

void query_cursor_close(struct query_cursor *cursor)
{
	sqlite3_finalize(cursor->calls);
	sqlite3_finalize(cursor->events);
	sql_close(&cursor->db);
	*cursor = (struct query_cursor){.way = cursor->way};
}

sqlite3_stmt *query_cursor_row(const struct query_cursor *cursor, bool *event)
{
	*event = !cursor->has_call;
	if (!cursor->has_call && !cursor->has_event)
		return NULL;
	if (cursor->has_call && cursor->has_event) {
		/* An event follows the call it names. */
		int64_t call = sqlite3_column_int64(cursor->calls, 0);
		int64_t after = sqlite3_column_int64(cursor->events, 0);
		*event = cursor->way == QUERY_CURSOR_BACKWARDS ? call <= after : call > after;
	}
	return *event ? cursor->events : cursor->calls;
}

int query_cursor_advance(struct query_cursor *cursor, struct fault *fault)
{
	bool event = false;
	ASSERT(query_cursor_row(cursor, &event));
	return cursor_step(cursor, event, fault);
}

int query_cursor_end(struct query_cursor *cursor, struct query_part *part, struct fault *fault)
{
	int64_t call = 0;
	int64_t event = 0;
	int error = sql_number(cursor->db,
			       "SELECT coalesce((SELECT max(seq) FROM call_log), previous_call)"
			       " FROM segment",
			       &call, fault);
	if (error == 0)
		error = sql_number(cursor->db,
				   "SELECT coalesce((SELECT max(seq) FROM event_log),"
				   " previous_event) FROM segment",
				   &event, fault);
	part->from_call = call + 1;
	part->from_event = event + 1;
	return error;
}
