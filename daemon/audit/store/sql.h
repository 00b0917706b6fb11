/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SQLite's errors as ours, and the settings that every connection of this project has. */
#ifndef AUDIT_STORE_SQL_H
#define AUDIT_STORE_SQL_H

#include <sqlite3.h>
#include <stdint.h>

#include "base/fault.h"

/*
 * Opens path with flags of sqlite3_open_v2(), and the settings that make a foreign file harmless.
 * Returns 0 and *db, or -errno and *fault; *db is NULL then.
 */
int sql_open(sqlite3 **db, const char *path, int flags, struct fault *fault);
/* Closes a connection; NULL is left alone. */
void sql_close(sqlite3 **db);

/* Runs statements that return nothing. Returns 0, or -errno and *fault. */
int sql_run(sqlite3 *db, const char *text, struct fault *fault);
/* The first column of the first row as a number; 0 if there is no row. Returns as sql_run(). */
int sql_number(sqlite3 *db, const char *text, int64_t *number, struct fault *fault);
/* Prepares a statement that is used again and again. Returns as sql_run(). */
int sql_prepare(sqlite3 *db, sqlite3_stmt **statement, const char *text, struct fault *fault);
/* Steps and resets a statement that returns nothing. Returns as sql_run(). */
int sql_step(sqlite3 *db, sqlite3_stmt *statement, struct fault *fault);

/* Fills *fault (may be NULL) from the last error of db; returns it as -errno, never 0. */
int sql_fault(sqlite3 *db, const char *doing, struct fault *fault);

#endif
