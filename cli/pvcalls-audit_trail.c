/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A query over the segments of a trail.
 *
 * Theory of operation. For the last N records the segments are asked newest first, each for the
 * place at which its share begins, until there are enough; then the shares are printed in order.
 * Nothing is held in memory, so --all is as good as --last 20. Calls and events are two tables; an
 * event knows the last call before it, which gives one order for both. Sealed segments are opened
 * as immutable files; live ones like any reader does, and never checkpointed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "audit/store/schema.h"
#include "audit/store/segment.h"
#include "audit/store/sql.h"
#include "base/clock.h"
#include "pvcalls-audit.h"

#define FOLLOW_NS (200 * NS_PER_MS) /* between two looks for new records */
#define RETRY_NS  (100 * NS_PER_MS) /* a segment that is being sealed can't be read for a moment */
#define RETRIES   30

/* Rows of one segment: those from these numbers on. */
struct part {
	uint64_t number;
	bool sealed;
	int64_t from_call;
	int64_t from_event;
};

struct scan {
	const struct query *query;
	struct output *output;
	char *calls;  /* conditions */
	char *events; /* conditions */
	uint64_t left;
	int64_t next_call; /* where to go on when following */
	int64_t next_event;
	uint64_t segment;    /* the last one that was read */
	uint64_t unreadable; /* segments that we may not read */
};

/* Two statements stepped as one list. Column 0 of a row is its place, column 1 its seq. */
struct cursor {
	sqlite3 *db;
	sqlite3_stmt *calls;
	sqlite3_stmt *events;
	bool has_call;
	bool has_event;
	bool backwards;
};

static enum audit_status status_of(int error)
{
	return error == -EACCES || error == -EPERM ? AUDIT_DENIED : AUDIT_TRAIL;
}

/* A path as part of a URI. Returns 0, or -ENAMETOOLONG. */
static int immutable_uri(char uri[SEGMENT_PATH_MAX], const char *path)
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

static int open_part(const char *dir, const struct part *part, sqlite3 **db, struct fault *fault)
{
	char path[SEGMENT_PATH_MAX];
	char uri[SEGMENT_PATH_MAX];
	*db = NULL;
	if (segment_path(path, dir, part->number) < 0 || immutable_uri(uri, path) < 0)
		return fault_set(fault, ENAMETOOLONG, "%s: the name is too long", dir);
	if (access(path, R_OK) < 0)
		return fault_set(fault, errno, "%s: %s", path, strerror(errno));
	int error = part->sealed ? sql_open(db, uri, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, fault)
				 : sql_open(db, path, SQLITE_OPEN_READONLY, fault);
	if (error == 0) {
		sqlite3_db_config(*db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
		error = schema_check(*db, path, fault);
	}
	if (error < 0)
		sql_close(db);
	return error;
}

static void cursor_close(struct cursor *cursor)
{
	sqlite3_finalize(cursor->calls);
	sqlite3_finalize(cursor->events);
	sql_close(&cursor->db);
}

static int step(struct cursor *cursor, sqlite3_stmt *statement, bool *has, struct fault *fault)
{
	int code = sqlite3_step(statement);
	*has = code == SQLITE_ROW;
	return code == SQLITE_ROW || code == SQLITE_DONE ? 0
							 : sql_fault(cursor->db, "reading", fault);
}

/* Prepares format, which has places for a condition and an order. */
static int prepare(const struct scan *scan, struct cursor *cursor, bool events, const char *what,
		   int64_t from, struct fault *fault)
{
	char *text = sqlite3_mprintf(
		events ? "SELECT e.after_call, %s WHERE %s AND e.seq >= ? ORDER BY e.seq %s"
		       : "SELECT c.seq, %s WHERE %s AND c.seq >= ? ORDER BY c.seq %s",
		what, events ? scan->events : scan->calls, cursor->backwards ? "DESC" : "ASC");
	if (!text)
		return fault_set(fault, ENOMEM, "no memory for the query");
	sqlite3_stmt **statement = events ? &cursor->events : &cursor->calls;
	int error = sql_prepare(cursor->db, statement, text, fault);
	sqlite3_free(text);
	if (error < 0)
		return error;
	int next = filter_bind(&scan->query->filter, events, *statement, 1);
	sqlite3_bind_int64(*statement, next, from);
	return step(cursor, *statement, events ? &cursor->has_event : &cursor->has_call, fault);
}

static int try_open(const struct scan *scan, const struct part *part, bool whole,
		    struct cursor *cursor, struct fault *fault)
{
	int error = open_part(scan->query->dir, part, &cursor->db, fault);
	if (error == 0)
		error = sql_run(cursor->db, "BEGIN", fault);
	if (error == 0)
		error = prepare(scan, cursor, false,
				whole ? "v.* FROM call_log AS c JOIN calls AS v ON v.seq = c.seq"
				      : "c.seq FROM call_log AS c",
				part->from_call, fault);
	if (error == 0)
		error = prepare(scan, cursor, true,
				whole ? "v.* FROM event_log AS e JOIN events AS v ON v.seq = e.seq"
				      : "e.seq FROM event_log AS e",
				part->from_event, fault);
	return error;
}

static void nap(uint64_t ns)
{
	struct timespec time = {.tv_sec = (time_t)(ns / NS_PER_S),
				.tv_nsec = (long)(ns % NS_PER_S)};
	nanosleep(&time, NULL);
}

/* Opens a cursor on a segment, standing on the first row of each table; whole: all columns. */
static int cursor_open(const struct scan *scan, struct part *part, bool whole, bool backwards,
		       struct cursor *cursor, struct fault *fault)
{
	int error = 0;
	for (int attempt = 0; attempt < RETRIES; attempt++) {
		*cursor = (struct cursor){.backwards = backwards};
		error = try_open(scan, part, whole, cursor, fault);
		if (error == 0)
			return 0;
		cursor_close(cursor);
		if (part->sealed || (error != -EBUSY && error != -EROFS))
			break;
		nap(RETRY_NS);
	}
	return error;
}

/* Whether the next row of the list is a call. An event follows the call it names. */
static bool next_is_call(const struct cursor *cursor)
{
	if (!cursor->has_call || !cursor->has_event)
		return cursor->has_call;
	int64_t call = sqlite3_column_int64(cursor->calls, 0);
	int64_t event = sqlite3_column_int64(cursor->events, 0);
	return cursor->backwards ? call > event : call <= event;
}

static int advance(struct cursor *cursor, bool call, struct fault *fault)
{
	return call ? step(cursor, cursor->calls, &cursor->has_call, fault)
		    : step(cursor, cursor->events, &cursor->has_event, fault);
}

/* The place at which the last `left` rows of a segment begin; subtracts what it has. */
static int find_start(struct scan *scan, struct part *part, struct fault *fault)
{
	struct cursor cursor;
	int error = cursor_open(scan, part, false, true, &cursor, fault);
	if (error < 0)
		return error;
	part->from_call = INT64_MAX;
	part->from_event = INT64_MAX;
	while (error == 0 && scan->left > 0 && (cursor.has_call || cursor.has_event)) {
		bool call = next_is_call(&cursor);
		if (call)
			part->from_call = sqlite3_column_int64(cursor.calls, 1);
		else
			part->from_event = sqlite3_column_int64(cursor.events, 1);
		scan->left--;
		error = advance(&cursor, call, fault);
	}
	cursor_close(&cursor);
	return error;
}

/* Remembers where the segment ends in the state that the cursor sees. */
static int note_end(struct scan *scan, const struct part *part, struct cursor *cursor,
		    struct fault *fault)
{
	int64_t last = 0;
	int error = sql_number(cursor->db,
			       "SELECT coalesce((SELECT max(seq) FROM call_log), previous_call)"
			       " FROM segment",
			       &last, fault);
	scan->next_call = last + 1;
	if (error == 0)
		error = sql_number(cursor->db,
				   "SELECT coalesce((SELECT max(seq) FROM event_log),"
				   " previous_event) FROM segment",
				   &last, fault);
	scan->next_event = last + 1;
	scan->segment = part->number;
	return error;
}

static int print_part(struct scan *scan, struct part *part, uint64_t most, struct fault *fault)
{
	struct cursor cursor;
	int error = cursor_open(scan, part, true, false, &cursor, fault);
	if (error < 0)
		return error;
	error = note_end(scan, part, &cursor, fault);
	while (error == 0 && most > 0 && (cursor.has_call || cursor.has_event)) {
		bool call = next_is_call(&cursor);
		output_row(scan->output, call ? cursor.calls : cursor.events, !call);
		most--;
		error = advance(&cursor, call, fault);
	}
	cursor_close(&cursor);
	return error;
}

/* A segment that we may not read is told, and passed over. */
static int pass_over(struct scan *scan, int error, const struct fault *fault)
{
	if (error != -EACCES)
		return error;
	scan->unreadable++;
	fprintf(stderr, "pvcalls-audit: %s: its records are not shown\n", fault->text);
	return 0;
}

/* Finds the segments from which the last records come: from parts[*first] on. */
static int find_first(struct scan *scan, struct part *parts, size_t count, size_t *first,
		      struct fault *fault)
{
	int error = 0;
	*first = count;
	while (error == 0 && *first > 0 && scan->left > 0) {
		struct part *part = &parts[--*first];
		error = find_start(scan, part, fault);
		if (error < 0) {
			error = pass_over(scan, error, fault);
			part->number = 0;
		}
	}
	return error;
}

static int print_last(struct scan *scan, struct part *parts, size_t count, struct fault *fault)
{
	size_t first = 0;
	int error = scan->left == LIMIT_ALL ? 0 : find_first(scan, parts, count, &first, fault);
	for (size_t i = first; error == 0 && i < count; i++) {
		if (parts[i].number == 0)
			continue;
		error = print_part(scan, &parts[i], LIMIT_ALL, fault);
		if (error < 0)
			error = pass_over(scan, error, fault);
	}
	return error;
}

static int print_first(struct scan *scan, struct part *parts, size_t count, struct fault *fault)
{
	int error = 0;
	for (size_t i = 0; error == 0 && i < count && scan->left > 0; i++) {
		uint64_t before = scan->output->rows;
		error = print_part(scan, &parts[i], scan->left, fault);
		if (error < 0)
			error = pass_over(scan, error, fault);
		scan->left -= scan->output->rows - before;
	}
	return error;
}

/* All segments of a folder; the caller frees them. NULL: *error and *fault say why. */
static struct part *list_parts(const char *dir, size_t *count, int *error, struct fault *fault)
{
	struct segment *list = NULL;
	*error = segment_list(dir, &list, count);
	if (*error < 0) {
		fault_set(fault, -*error, "%s: %s: name the trail's folder with --trail", dir,
			  strerror(-*error));
		return NULL;
	}
	struct part *parts = calloc(*count + 1, sizeof(*parts));
	if (!parts)
		*error = fault_set(fault, ENOMEM, "no memory for the list of segments");
	for (size_t i = 0; parts && i < *count; i++)
		parts[i] = (struct part){.number = list[i].number, .sealed = list[i].sealed};
	free(list);
	return parts;
}

/* New rows of the segment that was read last and of those that began since. */
static int print_new(struct scan *scan, struct fault *fault)
{
	size_t count = 0;
	int error = 0;
	struct part *parts = list_parts(scan->query->dir, &count, &error, fault);
	for (size_t i = 0; parts && error == 0 && i < count; i++) {
		if (parts[i].number < scan->segment)
			continue;
		parts[i].from_call = scan->next_call;
		parts[i].from_event = scan->next_event;
		error = print_part(scan, &parts[i], LIMIT_ALL, fault);
	}
	free(parts);
	return error;
}

static int follow(struct scan *scan, struct fault *fault)
{
	int error = 0;
	while (error == 0) {
		fflush(scan->output->file);
		nap(FOLLOW_NS);
		error = print_new(scan, fault);
	}
	return error;
}

static enum audit_status report(int error, const struct fault *fault)
{
	fprintf(stderr, "pvcalls-audit: %s\n", fault->text);
	return status_of(error);
}

static int run(struct scan *scan, struct fault *fault)
{
	size_t count = 0;
	int error = 0;
	struct part *parts = list_parts(scan->query->dir, &count, &error, fault);
	if (!parts)
		return error;
	error = scan->query->first ? print_first(scan, parts, count, fault)
				   : print_last(scan, parts, count, fault);
	free(parts);
	return error == 0 && scan->query->follow ? follow(scan, fault) : error;
}

enum audit_status trail_query(const struct query *query, struct output *output)
{
	struct scan scan = {.query = query, .output = output, .left = query->count};
	struct fault fault = {0};
	scan.calls = filter_calls(&query->filter);
	scan.events = filter_events(&query->filter);
	int error = scan.calls && scan.events
			    ? run(&scan, &fault)
			    : fault_set(&fault, ENOMEM, "no memory for the query");
	output_end(output);
	free(scan.calls);
	free(scan.events);
	if (error < 0)
		return report(error, &fault);
	if (output->rows == 0 && scan.unreadable > 0)
		return AUDIT_DENIED;
	return output->rows > 0 ? AUDIT_FOUND : AUDIT_NOTHING;
}
