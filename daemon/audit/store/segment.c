/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "audit/store/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/store/schema.h"
#include "audit/store/sql.h"
#include "base/assert.h"
#include "base/decimal.h"
#include "base/fd.h"

#define SEGMENT_DIGITS     8
#define SEGMENT_NUMBER_MAX 999999999999999999u

static int segment_make_path(char path[SEGMENT_PATH_MAX], const char *dir, uint64_t number,
			     const char *suffix)
{
	bool here = strcmp(dir, ".") == 0;
	int length = snprintf(path, SEGMENT_PATH_MAX, "%s%saudit-%0*llu.%s", here ? "" : dir,
			      here ? "" : "/", SEGMENT_DIGITS, (unsigned long long)number, suffix);
	return length < SEGMENT_PATH_MAX ? 0 : -ENAMETOOLONG;
}

int segment_path(char path[SEGMENT_PATH_MAX], const char *dir, uint64_t number)
{
	return segment_make_path(path, dir, number, "db");
}

int segment_lock(const char *dir, int *lock, struct fault *fault)
{
	char path[SEGMENT_PATH_MAX];
	if (snprintf(path, sizeof(path), "%s/" SEGMENT_LOCK_NAME, dir) >= (int)sizeof(path))
		return fault_set(fault, ENAMETOOLONG, "%s: the folder's name is too long", dir);
	*lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, SEGMENT_MODE_LIVE);
	if (*lock < 0)
		return fault_set(fault, errno,
				 "%s: %s: make the folder writable for the audit writer", path,
				 strerror(errno));
	if (flock(*lock, LOCK_EX | LOCK_NB) < 0)
		return fault_set(fault, errno == EWOULDBLOCK ? EBUSY : errno,
				 "%s: another audit writer has this trail open: end it", path);
	return 0;
}

/* The number of a segment's file name; 0 if it is another file's. */
static uint64_t segment_parse_name(const char *name)
{
	static const char prefix[] = "audit-";
	if (strncmp(name, prefix, sizeof(prefix) - 1) != 0)
		return 0;
	const char *digits = name + sizeof(prefix) - 1;
	const char *end;
	uint64_t number;
	if (decimal_read_head(digits, &end, SEGMENT_NUMBER_MAX, &number) < 0 ||
	    end - digits < SEGMENT_DIGITS || strcmp(end, ".db") != 0)
		return 0;
	return number;
}

static int segment_compare(const void *a, const void *b)
{
	const struct segment *left = a;
	const struct segment *right = b;
	return (left->number > right->number) - (left->number < right->number);
}

static int segment_collect(DIR *folder, struct segment **list, size_t *count)
{
	const struct dirent *entry = NULL;
	while ((entry = readdir(folder))) {
		uint64_t number = segment_parse_name(entry->d_name);
		struct stat status;
		if (number == 0 || fstatat(dirfd(folder), entry->d_name, &status, 0) < 0 ||
		    !S_ISREG(status.st_mode))
			continue;
		struct segment *grown = realloc(*list, (*count + 1) * sizeof(**list));
		if (!grown)
			return -ENOMEM;
		*list = grown;
		(*list)[(*count)++] = (struct segment){
			.number = number,
			.sealed = (status.st_mode & (S_IWUSR | S_IWGRP | S_IWOTH)) == 0,
		};
	}
	return 0;
}

int segment_list(const char *dir, struct segment **list, size_t *count)
{
	*list = NULL;
	*count = 0;
	DIR *folder = opendir(dir);
	if (!folder)
		return -errno;
	int error = segment_collect(folder, list, count);
	closedir(folder);
	if (error < 0) {
		free(*list);
		*list = NULL;
		*count = 0;
	} else if (*count > 0) {
		qsort(*list, *count, sizeof(**list), segment_compare);
	}
	return error;
}

/* Makes a rename or a new file durable. */
static int segment_sync_folder(const char *dir)
{
	autoclose int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

static int segment_write_head(sqlite3 *db, const struct segment_head *head, struct fault *fault)
{
	sqlite3_stmt *insert = NULL;
	int error = sql_prepare(db, &insert,
				"INSERT INTO segment (one, number, created, previous,"
				" previous_call, previous_event) VALUES (1, ?, ?, ?, ?, ?)",
				fault);
	if (error < 0)
		return error;
	char previous[SEGMENT_NAME_MAX];
	snprintf(previous, sizeof(previous), "audit-%0*llu.db", SEGMENT_DIGITS,
		 (unsigned long long)(head->number - 1));
	sqlite3_bind_int64(insert, 1, (int64_t)head->number);
	sqlite3_bind_int64(insert, 2, (int64_t)head->created_ns);
	if (head->number > 1)
		sqlite3_bind_text(insert, 3, previous, -1, SQLITE_STATIC);
	sqlite3_bind_int64(insert, 4, head->previous_call);
	sqlite3_bind_int64(insert, 5, head->previous_event);
	error = sql_step(db, insert, fault);
	sqlite3_finalize(insert);
	return error;
}

/* Copies the rows that read returns to write, column by column; boot_id is read's parameter. */
static int segment_copy_rows(sqlite3 *to, const char *write, sqlite3 *from, const char *read,
			     const char *boot_id, struct fault *fault)
{
	sqlite3_stmt *source = NULL;
	sqlite3_stmt *insert = NULL;
	int error = sql_prepare(from, &source, read, fault);
	if (error == 0)
		error = sql_prepare(to, &insert, write, fault);
	if (error < 0)
		goto out;
	sqlite3_bind_text(source, 1, boot_id, -1, SQLITE_STATIC);
	int code = SQLITE_ROW;
	while (error == 0 && (code = sqlite3_step(source)) == SQLITE_ROW) {
		for (int i = 0; i < sqlite3_column_count(source); i++)
			sqlite3_bind_value(insert, i + 1, sqlite3_column_value(source, i));
		error = sql_step(to, insert, fault);
	}
	if (error == 0 && code != SQLITE_DONE)
		error = sql_fault(from, "reading the segment before", fault);
out:
	sqlite3_finalize(source);
	sqlite3_finalize(insert);
	return error;
}

/*
 * Queues and links keep their places (and ids) in the next segment. A finished queue is kept for
 * the last ones only: its supervisor may not have heard yet that it is finished. Those of an
 * earlier boot are gone with their memory; but how the last supervisor ended is still to be told.
 */
static int segment_carry_over(sqlite3 *to, sqlite3 *from, const char *boot_id, struct fault *fault)
{
	int error =
		segment_copy_rows(to, "INSERT INTO queues VALUES (?, ?, ?, ?, ?, ?, ?, ?)", from,
				  "SELECT id, queue, boot_id, domid, guest, uuid, place, finished"
				  " FROM queues WHERE boot_id = ? AND (finished = 0"
				  " OR id > (SELECT max(id) FROM queues) - 1000)",
				  boot_id, fault);
	if (error == 0)
		error = segment_copy_rows(
			to,
			"INSERT INTO links (id, link, boot_id, place, started, stopped, lost,"
			" late, unknown) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
			from,
			"SELECT id, link, boot_id, place, started, stopped, lost, late, unknown"
			" FROM links WHERE boot_id = ?"
			" OR id = (SELECT max(id) FROM links WHERE started IS NOT NULL)",
			boot_id, fault);
	return error;
}

static int segment_fill(sqlite3 *db, const struct segment_head *head, sqlite3 *from,
			struct fault *fault)
{
	char settings[256];
	snprintf(settings, sizeof(settings),
		 "PRAGMA page_size = %d; PRAGMA application_id = %d; PRAGMA user_version = %d;"
		 "PRAGMA synchronous = FULL; BEGIN IMMEDIATE;",
		 SEGMENT_PAGE_SIZE, SCHEMA_APPLICATION_ID, SCHEMA_VERSION);
	int error = sql_run(db, settings, fault);
	if (error == 0)
		error = schema_create(db, fault);
	if (error == 0)
		error = segment_write_head(db, head, fault);
	if (error == 0 && from)
		error = segment_carry_over(db, from, head->boot_id, fault);
	if (error == 0)
		error = sql_run(db, "COMMIT; PRAGMA journal_mode = WAL;", fault);
	return error;
}

void segment_sweep(const char *dir, uint64_t number)
{
	static const char *const suffixes[] = {"new", "new-journal", "new-wal", "new-shm"};
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		char path[SEGMENT_PATH_MAX];
		if (segment_make_path(path, dir, number, suffixes[i]) == 0)
			unlink(path);
	}
}

int segment_create(const char *dir, const struct segment_head *head, sqlite3 *from,
		   struct fault *fault)
{
	char path[SEGMENT_PATH_MAX];
	char draft[SEGMENT_PATH_MAX];
	ASSERT(head->number > 0);
	if (segment_path(path, dir, head->number) < 0 ||
	    segment_make_path(draft, dir, head->number, "new") < 0)
		return fault_set(fault, ENAMETOOLONG, "%s: the folder's name is too long", dir);

	segment_sweep(dir, head->number);
	sqlite3 *db = NULL;
	int error = sql_open(&db, draft, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, fault);
	if (error == 0)
		error = segment_fill(db, head, from, fault);
	sql_close(&db);
	if (error == 0 && (chmod(draft, SEGMENT_MODE_LIVE) < 0 || rename(draft, path) < 0))
		error = fault_set(fault, errno, "%s: can't be named %s: %s", draft, path,
				  strerror(errno));
	if (error == 0 && (error = segment_sync_folder(dir)) < 0)
		fault_set(fault, -error, "%s: can't be synced: %s", dir, strerror(-error));
	if (error < 0)
		segment_sweep(dir, head->number);
	return error;
}

/* Leaves WAL mode: everything in one file. SQLite answers with the mode that it is then in. */
static int segment_fold_journal(sqlite3 *db, const char *path, struct fault *fault)
{
	sqlite3_stmt *statement = NULL;
	int error = sql_prepare(db, &statement, "PRAGMA journal_mode = DELETE", fault);
	if (error < 0)
		return error;
	int code = sqlite3_step(statement);
	const char *mode =
		code == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
	if (code != SQLITE_ROW)
		error = sql_fault(db, "folding its journal in", fault);
	else if (!mode || strcmp(mode, "delete") != 0)
		error = fault_set(fault, EBUSY, "%s: a reader has it open", path);
	sqlite3_finalize(statement);
	return error;
}

/* Everything up to the mode bits. */
static int segment_complete(sqlite3 *db, const char *path, uint64_t now_ns, struct fault *fault)
{
	char mark[96];
	snprintf(mark, sizeof(mark), "UPDATE segment SET sealed = %llu WHERE sealed IS NULL;",
		 (unsigned long long)now_ns);
	int error = schema_check(db, path, fault);
	if (error == 0)
		error = sql_run(db, "PRAGMA synchronous = FULL; PRAGMA cache_size = -65536;",
				fault);
	if (error == 0)
		error = schema_index(db, fault);
	if (error == 0)
		error = sql_run(db, mark, fault);
	if (error == 0)
		error = segment_fold_journal(db, path, fault);
	return error;
}

int segment_seal(const char *dir, uint64_t number, uint64_t now_ns, struct fault *fault)
{
	char path[SEGMENT_PATH_MAX];
	if (segment_path(path, dir, number) < 0)
		return fault_set(fault, ENAMETOOLONG, "%s: the folder's name is too long", dir);
	sqlite3 *db = NULL;
	int error = sql_open(&db, path, SQLITE_OPEN_READWRITE, fault);
	if (error == 0)
		error = segment_complete(db, path, now_ns, fault);
	sql_close(&db);
	if (error == 0 && chmod(path, SEGMENT_MODE_DONE) < 0)
		error = fault_set(fault, errno, "%s: can't be made read-only: %s", path,
				  strerror(errno));
	return error;
}
