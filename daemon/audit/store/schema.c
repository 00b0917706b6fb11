/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tables of a segment.
 *
 * Theory of operation. A live segment's only cost is the row itself: call_log is narrow (numbers,
 * absent where they are zero by nature) and has no index beside its key; what repeats from call to
 * call is one number into `queues` or `decisions`. The views `calls` and `events` put the plain
 * names back for people with sqlite3 in hand. Indices come when the segment is sealed.
 */
#include "audit/store/schema.h"

#include <errno.h>
#include <stdio.h>

#include "audit/store/sql.h"
#include "call/call.h"
#include "call/wire_errno.h"
#include "ipc/audit_record.h"
#include "ipc/auditd_message.h"

#define ERRNO_MAX 4095 /* the largest errno of Linux */

static const char *const verdict_names[VERDICTS] = {
	[VERDICT_DENY] = "deny",   [VERDICT_ALLOW] = "allow", [VERDICT_WOULD_DENY] = "would_deny",
	[VERDICT_FAULT] = "fault", [VERDICT_NONE] = "none",
};

static const char *const outcome_names[SCHEMA_OUTCOMES] = {
	[SCHEMA_OUTCOME_OK] = "ok",
	[SCHEMA_OUTCOME_ERROR] = "error",
	[SCHEMA_OUTCOME_UNKNOWN] = "unknown",
	[SCHEMA_OUTCOME_CANCELLED] = "cancelled",
};

static const char *const close_names[AUDIT_CLOSE_REASONS] = {
	[AUDIT_CLOSE_NONE] = "",
	[AUDIT_CLOSE_RELEASED] = "released",
	[AUDIT_CLOSE_GUEST_GONE] = "guest_gone",
	[AUDIT_CLOSE_CUT_OFF] = "cut_off",
	[AUDIT_CLOSE_OPERATOR] = "operator",
	[AUDIT_CLOSE_SHUTDOWN] = "shutdown",
};

static const char *const event_names[AUDIT_EVENT_KINDS] = {
	[AUDIT_EVENT_START] = "start",
	[AUDIT_EVENT_STOP] = "stop",
	[AUDIT_EVENT_GUEST_ATTACHED] = "guest_attached",
	[AUDIT_EVENT_GUEST_DETACHED] = "guest_detached",
	[AUDIT_EVENT_GUEST_REFUSED] = "guest_refused",
	[AUDIT_EVENT_GUEST_CUT_OFF] = "guest_cut_off",
	[AUDIT_EVENT_ENGINE_CRASHED] = "engine_crashed",
	[AUDIT_EVENT_WRITER_CRASHED] = "writer_crashed",
	[AUDIT_EVENT_RELOAD] = "reload",
	[AUDIT_EVENT_POLICY_REFUSED] = "policy_refused",
	[AUDIT_EVENT_OPERATOR] = "operator",
	[AUDIT_EVENT_DISK] = "disk",
	[AUDIT_EVENT_TRANSPORT] = "transport",
	[AUDIT_EVENT_UNCLEAN_END] = "unclean_end",
	[AUDIT_EVENT_SLOTS_FULL] = "slots_full",
};

#define NAMES(table) (sizeof(table) / sizeof(table)[0])
_Static_assert(SCHEMA_KIND_CLOSE(SCHEMA_KIND(0u, 0u, 0u, AUDIT_CLOSE_REASONS - 1u, 0u)) ==
		       AUDIT_CLOSE_REASONS - 1u,
	       "a reason fits its bits");
_Static_assert(SCHEMA_KIND_VERDICT(SCHEMA_KIND(0u, VERDICTS - 1u, 0u, 0u, 0u)) == VERDICTS - 1u,
	       "a verdict fits its bits");
_Static_assert(SCHEMA_KIND_OP(PVCALLS_OP_COUNT) == PVCALLS_OP_COUNT, "an operation fits its bits");

const char *schema_verdict_name(uint32_t verdict)
{
	return verdict < VERDICTS ? verdict_names[verdict] : "?";
}

const char *schema_outcome_name(uint32_t outcome)
{
	return outcome < SCHEMA_OUTCOMES ? outcome_names[outcome] : "?";
}

const char *schema_close_name(uint32_t reason)
{
	return reason < AUDIT_CLOSE_REASONS ? close_names[reason] : "?";
}

const char *schema_event_name(uint32_t kind)
{
	return kind < AUDIT_EVENT_KINDS ? event_names[kind] : "?";
}

#define NAME_COLUMNS                                                    \
	"(kind TEXT NOT NULL, id INTEGER NOT NULL, name TEXT NOT NULL," \
	" PRIMARY KEY (kind, id)) WITHOUT ROWID"

static const char tables[] =
	/* What this segment is, and where it hangs in the chain of segments. */
	"CREATE TABLE segment (one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL,"
	" created INTEGER NOT NULL, previous TEXT, previous_call INTEGER NOT NULL,"
	" previous_event INTEGER NOT NULL, previous_hash BLOB, opened INTEGER NOT NULL DEFAULT 0, sealed INTEGER);"
	/* One row per engine, with the number of its records that this trail holds. */
	"CREATE TABLE queues (id INTEGER PRIMARY KEY, queue BLOB NOT NULL UNIQUE, boot_id TEXT NOT"
	" NULL, domid INTEGER NOT NULL, guest TEXT NOT NULL, uuid TEXT NOT NULL, place INTEGER NOT"
	" NULL DEFAULT 0, finished INTEGER NOT NULL DEFAULT 0);"
	/* One row per supervisor, with the number of its last event that this trail holds. */
	"CREATE TABLE links (id INTEGER PRIMARY KEY, link BLOB NOT NULL UNIQUE, boot_id TEXT NOT"
	" NULL, place INTEGER NOT NULL DEFAULT 0, started INTEGER, stopped INTEGER, lost INTEGER,"
	" late INTEGER, unknown INTEGER);"
	"CREATE TABLE decisions (id INTEGER PRIMARY KEY, policy TEXT NOT NULL, policy_digest BLOB,"
	" decider TEXT NOT NULL, rule TEXT NOT NULL, reason TEXT NOT NULL,"
	" rewriter TEXT NOT NULL DEFAULT '', rewrite_rule TEXT NOT NULL DEFAULT '');"
	"CREATE TABLE names " NAME_COLUMNS ";"
	"CREATE TABLE call_log (seq INTEGER PRIMARY KEY, time INTEGER NOT NULL, queue INTEGER NOT"
	" NULL, serial INTEGER NOT NULL, kind INTEGER NOT NULL, socket INTEGER, parent INTEGER,"
	" requested INTEGER, effective INTEGER, local INTEGER, peer INTEGER, result INTEGER,"
	" decision INTEGER NOT NULL, decision_ns INTEGER NOT NULL, total_ns INTEGER NOT NULL,"
	" bytes_in INTEGER, bytes_out INTEGER, duration_ns INTEGER, hash BLOB);"
	"CREATE TABLE event_log (seq INTEGER PRIMARY KEY, time INTEGER NOT NULL, kind INTEGER NOT"
	" NULL, link INTEGER NOT NULL, guest TEXT, uid INTEGER, text TEXT NOT NULL,"
	" after_call INTEGER NOT NULL, hash BLOB);";

#define TEXT_TIME(c)                                                                            \
	"strftime('%Y-%m-%dT%H:%M:%S', " c " / 1000000000, 'unixepoch') || printf('.%09dZ', " c \
	" % 1000000000)"
#define NAME_OF(kind, id) "(SELECT name FROM names WHERE kind = '" kind "' AND id = " id ")"
#define TEXT_ADDRESS(c)                                                                      \
	"CASE WHEN " c " >= 0 THEN printf('%d.%d.%d.%d', " c " >> 40, " c " >> 32 & 255, " c \
	" >> 24 & 255, " c " >> 16 & 255) END"
#define PORT(c)           "CASE WHEN " c " >= 0 THEN " c " & 65535 END"
#define ENDPOINT(c, name) TEXT_ADDRESS(c) " AS " name "_address, " PORT(c) " AS " name "_port"

/* clang-format off */
static const char calls_view[] =
	"SELECT c.seq AS seq, " TEXT_TIME("c.time") " AS time,"
	" c.time AS time_ns,"
	" q.boot_id AS boot_id, q.domid AS domid, q.guest AS guest, q.uuid AS uuid,"
	" c.serial AS serial, " NAME_OF("operation", "(c.kind & 7)") " AS operation,"
	" c.socket AS socket, c.parent AS parent, "
	ENDPOINT("ifnull(c.requested, c.effective)", "requested") ", "
	ENDPOINT("c.effective", "effective") ", "
	ENDPOINT("c.local", "local") ", "
	ENDPOINT("c.peer", "peer") ", "
	NAME_OF("verdict", SCHEMA_SQL_VERDICT) " AS verdict, c.kind >> 5 & 1 AS rewritten,"
	" nullif(d.rewriter, '') AS rewriter, nullif(d.rewrite_rule, '') AS rewrite_rule,"
	" d.decider AS decider, nullif(d.rule, '') AS rule, nullif(d.reason, '') AS reason,"
	NAME_OF("outcome", SCHEMA_SQL_OUTCOME) " AS outcome, c.result AS errno, "
	NAME_OF("errno", "c.result") " AS errno_name,"
	" c.decision_ns AS decision_ns, c.total_ns AS total_ns, d.policy AS policy,"
	" lower(hex(d.policy_digest)) AS policy_digest, c.bytes_in AS bytes_in,"
	" c.bytes_out AS bytes_out, c.duration_ns AS duration_ns, "
	"nullif(" NAME_OF("close", "(c.kind >> 6 & 7)") ", '') AS close_reason, c.hash AS hash"
	" FROM call_log AS c LEFT JOIN queues AS q ON q.id = c.queue"
	" LEFT JOIN decisions AS d ON d.id = c.decision";
static const char events_view[] =
	"SELECT e.seq AS seq, " TEXT_TIME("e.time") " AS time,"
	" e.time AS time_ns, l.boot_id AS boot_id, " NAME_OF("event", "e.kind") " AS event,"
	" e.guest AS guest, e.uid AS uid, e.text AS text, e.after_call AS after_call,"
	" e.hash AS hash FROM event_log AS e LEFT JOIN links AS l ON l.id = e.link";
/* clang-format on */

static const char indices[] =
	"CREATE INDEX IF NOT EXISTS call_by_time ON call_log (time);"
	"CREATE INDEX IF NOT EXISTS call_by_socket ON call_log (queue, socket);"
	"CREATE INDEX IF NOT EXISTS call_by_effective ON call_log (effective)"
	" WHERE effective IS NOT NULL;"
	"CREATE INDEX IF NOT EXISTS call_by_requested ON call_log (requested)"
	" WHERE requested IS NOT NULL;"
	"CREATE INDEX IF NOT EXISTS call_by_peer ON call_log (peer) WHERE peer IS NOT NULL;"
	"CREATE INDEX IF NOT EXISTS call_denied ON call_log (seq) WHERE (kind >> 3 & 3) <> 1;"
	"PRAGMA analysis_limit = 1000; ANALYZE;";

static int schema_add_name(sqlite3 *db, sqlite3_stmt *insert, uint32_t id, const char *name,
			   struct fault *fault)
{
	if (!name)
		return 0;
	sqlite3_bind_int64(insert, 2, id);
	sqlite3_bind_text(insert, 3, name, -1, SQLITE_STATIC);
	return sql_step(db, insert, fault);
}

static const char *schema_operation_name(uint32_t op)
{
	return call_operations[op].name;
}

static const char *schema_errno_name(uint32_t error)
{
	return wire_errno_name((int)error);
}

static int schema_add_names(sqlite3 *db, struct fault *fault)
{
	static const struct {
		const char *kind;
		uint32_t count;
		const char *(*name)(uint32_t);
	} sorts[] = {
		{"operation", PVCALLS_OP_COUNT + 1, schema_operation_name},
		{"verdict", VERDICTS, schema_verdict_name},
		{"outcome", SCHEMA_OUTCOMES, schema_outcome_name},
		{"close", AUDIT_CLOSE_REASONS, schema_close_name},
		{"event", AUDIT_EVENT_KINDS, schema_event_name},
		{"errno", ERRNO_MAX + 1, schema_errno_name},
	};
	sqlite3_stmt *insert = NULL;
	int error =
		sql_prepare(db, &insert, "INSERT OR REPLACE INTO names VALUES (?, ?, ?)", fault);
	for (size_t i = 0; error == 0 && i < NAMES(sorts); i++) {
		sqlite3_bind_text(insert, 1, sorts[i].kind, -1, SQLITE_STATIC);
		for (uint32_t id = 0; error == 0 && id < sorts[i].count; id++)
			error = schema_add_name(db, insert, id, sorts[i].name(id), fault);
	}
	sqlite3_finalize(insert);
	return error;
}

/* kind: "" for a view of the file, "TEMP" for one of this connection. */
static int schema_add_view(sqlite3 *db, const char *kind, const char *name, const char *select,
			   struct fault *fault)
{
	char *text = sqlite3_mprintf("CREATE %s VIEW %s AS %s", kind, name, select);
	if (!text)
		return fault_set(fault, ENOMEM, "no memory for the views of a segment");
	int error = sql_run(db, text, fault);
	sqlite3_free(text);
	return error;
}

int schema_create(sqlite3 *db, struct fault *fault)
{
	int error = sql_run(db, tables, fault);
	if (error == 0)
		error = schema_add_view(db, "", "calls", calls_view, fault);
	if (error == 0)
		error = schema_add_view(db, "", "events", events_view, fault);
	if (error == 0)
		error = schema_add_names(db, fault);
	return error;
}

/* Whether db is of the version before this one. */
static int schema_is_old(sqlite3 *db, bool *old, struct fault *fault)
{
	int64_t version = 0;
	int error = sql_number(db, "PRAGMA user_version", &version, fault);
	*old = version < SCHEMA_VERSION;
	return error;
}

/* From version 1; who began and stopped is in its events. */
static const char upgrade[] =
	"BEGIN IMMEDIATE; DROP VIEW calls;"
	"ALTER TABLE decisions ADD COLUMN rewriter TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE decisions ADD COLUMN rewrite_rule TEXT NOT NULL DEFAULT '';"
	"ALTER TABLE links ADD COLUMN started INTEGER; ALTER TABLE links ADD COLUMN stopped INTEGER;"
	"ALTER TABLE links ADD COLUMN lost INTEGER; ALTER TABLE links ADD COLUMN late INTEGER;"
	"ALTER TABLE links ADD COLUMN unknown INTEGER;"
	"UPDATE links SET started = (SELECT max(time) FROM event_log WHERE link = links.id AND kind"
	" = 0), stopped = (SELECT max(time) FROM event_log WHERE link = links.id AND kind = 1);";
_Static_assert(AUDIT_EVENT_START == 0 && AUDIT_EVENT_STOP == 1, "as in the line above");

int schema_upgrade(sqlite3 *db, struct fault *fault)
{
	bool old = false;
	char mark[64];
	int error = schema_is_old(db, &old, fault);
	if (error < 0 || !old)
		return error;
	snprintf(mark, sizeof(mark), "PRAGMA user_version = %d; COMMIT;", SCHEMA_VERSION);
	error = sql_run(db, upgrade, fault);
	if (error == 0)
		error = schema_add_view(db, "", "calls", calls_view, fault);
	if (error == 0)
		error = schema_add_names(db, fault);
	/* Closing the database, as callers do after an error, undoes what was not committed. */
	return error == 0 ? sql_run(db, mark, fault) : error;
}

int schema_cover(sqlite3 *db, struct fault *fault)
{
	bool old = false;
	int error = schema_is_old(db, &old, fault);
	if (error < 0 || !old)
		return error;
	/* What this connection has of its own comes before what the file has of that name. */
	error = schema_add_view(db, "TEMP", "decisions",
				"SELECT *, '' AS rewriter, '' AS rewrite_rule FROM main.decisions",
				fault);
	if (error == 0)
		error = sql_run(db, "CREATE TEMP TABLE names " NAME_COLUMNS, fault);
	if (error == 0)
		error = schema_add_names(db, fault);
	return error == 0 ? schema_add_view(db, "TEMP", "calls", calls_view, fault) : error;
}

int schema_index(sqlite3 *db, struct fault *fault)
{
	return sql_run(db, indices, fault);
}

int schema_check(sqlite3 *db, const char *file, struct fault *fault)
{
	int64_t application = 0;
	int64_t version = 0;
	int error = sql_number(db, "PRAGMA application_id", &application, fault);
	if (error == 0)
		error = sql_number(db, "PRAGMA user_version", &version, fault);
	if (error < 0)
		return error;
	if (application != SCHEMA_APPLICATION_ID)
		return fault_set(
			fault, EBADMSG,
			"%s: no segment of an audit trail (application_id is %lld): move it "
			"out of the folder",
			file, (long long)application);
	if (version < SCHEMA_VERSION_OLDEST || version > SCHEMA_VERSION)
		return fault_set(
			fault, EPROTO,
			"%s: written by another version of pvcalls (schema %lld, this "
			"program knows up to %d): use that version, or move the trail away",
			file, (long long)version, SCHEMA_VERSION);
	return 0;
}
