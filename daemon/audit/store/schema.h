/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tables of a segment; described for readers in pvcalls-audit-schema(7). */
#ifndef AUDIT_STORE_SCHEMA_H
#define AUDIT_STORE_SCHEMA_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include <pvcalls/plugin.h>

#include "base/fault.h"

#define SCHEMA_APPLICATION_ID 0x70766361 /* "pvca" */
#define SCHEMA_VERSION        2
#define SCHEMA_VERSION_OLDEST 1 /* that this program reads: it lacks some columns */

/* An endpoint as one number, address * 65536 + port, so that ranges of it are address ranges. */
#define SCHEMA_PORT_BITS 16

/*
 * call_log.kind holds five small values in one column: a column less is time less per row. The
 * verdict's third bit and `cancelled` are 0 in rows that were written before there was use for
 * them, so those rows mean what they meant.
 */
#define SCHEMA_KIND(op, verdict, rewritten, close, cancelled)                                 \
	((op) | ((verdict)&3u) << 3 | (rewritten) << 5 | (close) << 6 | ((verdict)&4u) << 7 | \
	 (cancelled) << 10)
#define SCHEMA_KIND_OP(kind)        ((kind)&7u)
#define SCHEMA_KIND_VERDICT(kind)   (((kind) >> 3 & 3u) | ((kind) >> 7 & 4u))
#define SCHEMA_KIND_REWRITTEN(kind) ((kind) >> 5 & 1u)
#define SCHEMA_KIND_CLOSE(kind)     ((kind) >> 6 & 7u)
#define SCHEMA_KIND_CANCELLED(kind) ((kind) >> 10 & 1u)

/* The same in SQL, of call_log AS c; the four outcomes are enum schema_outcome. */
#define SCHEMA_SQL_VERDICT "((c.kind >> 3 & 3) | (c.kind >> 7 & 4))"
#define SCHEMA_SQL_OUTCOME                                                     \
	"(CASE WHEN c.kind >> 10 & 1 THEN 3 WHEN c.result IS NULL THEN 2 ELSE" \
	" c.result <> 0 END)"

enum schema_outcome {
	SCHEMA_OUTCOME_OK,
	SCHEMA_OUTCOME_ERROR,
	SCHEMA_OUTCOME_UNKNOWN,   /* the engine died before it knew */
	SCHEMA_OUTCOME_CANCELLED, /* ended with its socket or its guest */
	SCHEMA_OUTCOMES,
};

/*
 * Versions. A segment keeps the version of the program that began it: the live one is brought up to
 * date in place when a writer opens it, sealed ones never change, and readers cover what those
 * lack.
 */

/* Creates the tables and views in an empty database. Returns 0, or -errno and *fault. */
int schema_create(sqlite3 *db, struct fault *fault);
/*
 * Brings a segment of an older version that takes rows up to this one, in a transaction of its own.
 * Returns 0, or -errno and *fault; the segment is then as it was once db is closed.
 */
int schema_upgrade(sqlite3 *db, struct fault *fault);
/*
 * For a reader: has this connection see an older segment as if it were of this version, with
 * nothing in the columns that it lacks. The file stays as it is. Returns 0, or -errno and *fault.
 */
int schema_cover(sqlite3 *db, struct fault *fault);
/* Completes the indices of a segment that takes no more rows. Returns 0, or -errno and *fault. */
int schema_index(sqlite3 *db, struct fault *fault);
/*
 * Refuses a file that is no segment of a version that is known; file is its name for the message.
 * Changes nothing. Returns 0, -EBADMSG (another kind of file) or -EPROTO (another version), and
 * *fault.
 */
int schema_check(sqlite3 *db, const char *file, struct fault *fault);

/* The names of the numbers that are stored; "?" for a number that has none. */
const char *schema_verdict_name(uint32_t verdict);
const char *schema_outcome_name(uint32_t outcome);
const char *schema_close_name(uint32_t reason);
const char *schema_event_name(uint32_t kind);

/* An endpoint's number; -1 if it has no address. */
static inline int64_t schema_endpoint(const struct pvcalls_endpoint *endpoint)
{
	if (endpoint->family == 0)
		return -1;
	uint32_t address = (uint32_t)endpoint->addr[0] << 24 | (uint32_t)endpoint->addr[1] << 16 |
			   (uint32_t)endpoint->addr[2] << 8 | endpoint->addr[3];
	return (int64_t)address << SCHEMA_PORT_BITS | endpoint->port;
}

#endif
