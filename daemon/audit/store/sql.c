/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "audit/store/sql.h"

#include <errno.h>
#include <string.h>

#define SQL_BUSY_MS 2000 /* how long to wait for a reader that holds a lock */

/* What to do about each error, for people. */
static const struct sql_error {
	int code;
	int error;
	const char *advice;
} sql_errors[] = {
	{SQLITE_FULL, ENOSPC, "free space on this disk; records wait until then"},
	{SQLITE_IOERR, EIO, "look for disk errors in the kernel log"},
	{SQLITE_READONLY, EROFS, "make the folder and its files writable for the audit writer"},
	{SQLITE_CANTOPEN, EACCES, "check that the folder exists and its owner and mode"},
	{SQLITE_PERM, EACCES, "check owner and mode of the folder and its files"},
	{SQLITE_AUTH, EACCES, "check owner and mode of the folder and its files"},
	{SQLITE_NOTADB, EBADMSG, "this is no file of an audit trail: move it away"},
	{SQLITE_CORRUPT, EBADMSG, "keep a copy of the folder, then move this file away"},
	{SQLITE_BUSY, EBUSY, "end the program that has this file open for writing"},
	{SQLITE_LOCKED, EBUSY, "end the program that has this file open for writing"},
	{SQLITE_NOMEM, ENOMEM, "free memory"},
	{SQLITE_TOOBIG, EFBIG, "this is a defect of pvcalls: report it"},
};

static const struct sql_error *sql_find_error(int code)
{
	for (size_t i = 0; i < sizeof(sql_errors) / sizeof(sql_errors[0]); i++) {
		if (sql_errors[i].code == (code & 0xff))
			return &sql_errors[i];
	}
	return NULL;
}

int sql_fault(sqlite3 *db, const char *doing, struct fault *fault)
{
	int code = sqlite3_extended_errcode(db);
	const char *path = sqlite3_db_filename(db, "main");
	const char *slash = path ? strrchr(path, '/') : NULL;
	const char *name = slash ? slash + 1 : "segment";
	const struct sql_error *known = sql_find_error(code);
	if (!known)
		return fault_set(fault, EIO, "%s: %s: %s (SQLite error %d)", name, doing,
				 sqlite3_errmsg(db), code);
	return fault_set(fault, known->error, "%s: %s: %s (SQLite error %d): %s", name, doing,
			 sqlite3_errmsg(db), code, known->advice);
}

static int sql_harden(sqlite3 *db, struct fault *fault)
{
	sqlite3_extended_result_codes(db, 1);
	sqlite3_busy_timeout(db, SQL_BUSY_MS);
	sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
	return sql_run(db, "PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0;", fault);
}

int sql_open(sqlite3 **db, const char *path, int flags, struct fault *fault)
{
	sqlite3 *opened = NULL;
	int error = 0;
	*db = NULL;
	if (sqlite3_open_v2(path, &opened, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
		if (!opened)
			return fault_set(fault, ENOMEM, "%s: no memory to open it", path);
		error = fault_set(fault, EACCES, "%s: %s: check that it exists and its mode", path,
				  sqlite3_errmsg(opened));
	} else {
		error = sql_harden(opened, fault);
	}
	if (error < 0) {
		sqlite3_close(opened);
		return error;
	}
	*db = opened;
	return 0;
}

void sql_close(sqlite3 **db)
{
	sqlite3_close(*db);
	*db = NULL;
}

int sql_run(sqlite3 *db, const char *text, struct fault *fault)
{
	if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
		return sql_fault(db, "writing", fault);
	return 0;
}

int sql_prepare(sqlite3 *db, sqlite3_stmt **statement, const char *text, struct fault *fault)
{
	if (sqlite3_prepare_v3(db, text, -1, SQLITE_PREPARE_PERSISTENT, statement, NULL) !=
	    SQLITE_OK)
		return sql_fault(db, "reading the tables", fault);
	return 0;
}

int sql_number(sqlite3 *db, const char *text, int64_t *number, struct fault *fault)
{
	sqlite3_stmt *statement = NULL;
	*number = 0;
	if (sqlite3_prepare_v2(db, text, -1, &statement, NULL) != SQLITE_OK)
		return sql_fault(db, "reading", fault);
	int code = sqlite3_step(statement);
	if (code == SQLITE_ROW)
		*number = sqlite3_column_int64(statement, 0);
	int error = code == SQLITE_ROW || code == SQLITE_DONE ? 0 : sql_fault(db, "reading", fault);
	sqlite3_finalize(statement);
	return error;
}

int sql_step(sqlite3 *db, sqlite3_stmt *statement, struct fault *fault)
{
	int code = sqlite3_step(statement);
	int error = code == SQLITE_DONE || code == SQLITE_ROW ? 0 : sql_fault(db, "writing", fault);
	sqlite3_reset(statement);
	return error;
}
