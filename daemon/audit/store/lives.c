/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "audit/store/lives.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "audit/store/segment.h"
#include "audit/store/sql.h"
#include "base/assert.h"
#include "base/clock.h"
#include "ipc/auditd_message.h"

#define LIVES_SQL_MAX 512

/* The one before: the last that has begun. */
#define PREVIOUS "(SELECT max(id) FROM links WHERE id < %lld AND started IS NOT NULL)"

static uint64_t lives_written(const char *path)
{
	struct stat status;
	if (stat(path, &status) < 0 || status.st_mtim.tv_sec < 0)
		return 0;
	return (uint64_t)status.st_mtim.tv_sec * NS_PER_S + (uint64_t)status.st_mtim.tv_nsec;
}

uint64_t lives_last_seen(const char *dir, uint64_t segment)
{
	char paths[3][SEGMENT_PATH_MAX + sizeof("-wal")];
	uint64_t last_ns = 0;
	if (segment_path(paths[0], dir, segment) < 0)
		return 0;
	snprintf(paths[1], sizeof(paths[1]), "%.*s-wal", SEGMENT_PATH_MAX - 1, paths[0]);
	snprintf(paths[2], sizeof(paths[2]), "%s/" SEGMENT_LOCK_NAME, dir);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		uint64_t ns = lives_written(paths[i]);
		last_ns = ns > last_ns ? ns : last_ns;
	}
	return last_ns;
}

int lives_begin(sqlite3 *db, int64_t link, uint64_t wall_ns, struct fault *fault)
{
	char text[LIVES_SQL_MAX];
	snprintf(text, sizeof(text), "UPDATE links SET started = %lld WHERE id = %lld",
		 (long long)wall_ns, (long long)link);
	return sql_run(db, text, fault);
}

int lives_stop(sqlite3 *db, int64_t link, uint64_t wall_ns, struct fault *fault)
{
	char text[LIVES_SQL_MAX];
	snprintf(text, sizeof(text), "UPDATE links SET stopped = %lld WHERE id = %lld",
		 (long long)wall_ns, (long long)link);
	return sql_run(db, text, fault);
}

#define IS_OPEN " AND started IS NOT NULL AND stopped IS NULL AND lost IS NULL"

int lives_lose(sqlite3 *db, int64_t link, uint64_t seen_ns, int64_t stored, struct fault *fault)
{
	char text[LIVES_SQL_MAX];
	snprintf(text, sizeof(text),
		 "UPDATE links SET lost = max(started, %lld),"
		 " late = (SELECT count(*) FROM call_log WHERE seq > %lld),"
		 " unknown = (SELECT count(*) FROM call_log WHERE seq > %lld AND result IS NULL)"
		 " WHERE id = %lld" IS_OPEN,
		 (long long)seen_ns, (long long)stored, (long long)stored, (long long)link);
	return sql_run(db, text, fault);
}

int lives_lose_previous(sqlite3 *db, int64_t link, uint64_t seen_ns, struct fault *fault)
{
	char text[LIVES_SQL_MAX];
	snprintf(text, sizeof(text),
		 "UPDATE links SET lost = max(started, %lld) WHERE id = " PREVIOUS IS_OPEN,
		 (long long)seen_ns, (long long)link);
	return sql_run(db, text, fault);
}

/* Guests of a link that were attached at its end, as far as the live segment tells. */
static int lives_tell_guests(sqlite3 *db, int64_t link, char *text, size_t size,
			     struct fault *fault)
{
	sqlite3_stmt *guests = NULL;
	char select[LIVES_SQL_MAX];
	snprintf(select, sizeof(select),
		 "SELECT count(*), group_concat(guest, ', ') FROM (SELECT guest, kind, max(seq)"
		 " FROM event_log WHERE link = %lld AND kind IN (%d, %d, %d, %d) GROUP BY guest)"
		 " WHERE kind = %d",
		 (long long)link, AUDIT_EVENT_GUEST_ATTACHED, AUDIT_EVENT_GUEST_DETACHED,
		 AUDIT_EVENT_GUEST_CUT_OFF, AUDIT_EVENT_ENGINE_CRASHED, AUDIT_EVENT_GUEST_ATTACHED);
	int error = sql_prepare(db, &guests, select, fault);
	if (error < 0)
		return error;
	int code = sqlite3_step(guests);
	if (code != SQLITE_ROW)
		error = sql_fault(db, "reading", fault);
	else if (sqlite3_column_int64(guests, 0) > 0)
		snprintf(text, size, "; guests attached then: %lld (%s)",
			 (long long)sqlite3_column_int64(guests, 0),
			 (const char *)sqlite3_column_text(guests, 1));
	sqlite3_finalize(guests);
	return error;
}

/* What became of the calls that were under way. */
static void lives_tell_calls(sqlite3_stmt *life, char *text, size_t size)
{
	if (sqlite3_column_type(life, 4) == SQLITE_NULL)
		snprintf(text, size,
			 "; its audit writer ended too, and what that had not stored is lost");
	else
		snprintf(text, size,
			 "; after that %lld calls were stored from its queues, %lld of them with "
			 "an unknown outcome",
			 (long long)sqlite3_column_int64(life, 4),
			 (long long)sqlite3_column_int64(life, 5));
}

static int lives_tell_loss(sqlite3 *db, sqlite3_stmt *life, char *text, size_t size,
			   struct fault *fault)
{
	char guests[AUDIT_EVENT_TEXT_MAX] = "";
	char calls[160];
	int error =
		lives_tell_guests(db, sqlite3_column_int64(life, 0), guests, sizeof(guests), fault);
	lives_tell_calls(life, calls, sizeof(calls));
	snprintf(text, size,
		 "pvcallsd, started at %s, ended without an orderly stop; last sign of life %s, "
		 "%lld s ago%s%s",
		 (const char *)sqlite3_column_text(life, 1),
		 (const char *)sqlite3_column_text(life, 2),
		 (long long)sqlite3_column_int64(life, 3), calls, guests);
	return error;
}

#define SECOND(column) "strftime('%%Y-%%m-%%dT%%H:%%M:%%SZ', " column " / 1000000000, 'unixepoch')"

int lives_tell_end(sqlite3 *db, int64_t link, uint64_t now_ns, char *text, size_t size,
		   struct fault *fault)
{
	sqlite3_stmt *life = NULL;
	char select[LIVES_SQL_MAX];
	ASSERT(size > 0);
	text[0] = '\0';
	snprintf(select, sizeof(select),
		 "SELECT id, " SECOND("started") ", " SECOND(
			 "lost") ","
				 " max(0, %lld - lost) / 1000000000, late, unknown FROM links"
				 " WHERE id = " PREVIOUS " AND lost IS NOT NULL",
		 (long long)now_ns, (long long)link);
	int error = sql_prepare(db, &life, select, fault);
	if (error < 0)
		return error;
	int code = sqlite3_step(life);
	if (code == SQLITE_ROW)
		error = lives_tell_loss(db, life, text, size, fault);
	else if (code != SQLITE_DONE)
		error = sql_fault(db, "reading", fault);
	sqlite3_finalize(life);
	return error;
}
