/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "audit/store/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/store/decisions.h"
#include "audit/store/lives.h"
#include "audit/store/schema.h"
#include "audit/store/segment.h"
#include "audit/store/sql.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/fd.h"
#include "call/call.h"

/* Journal pages at which it is folded in: 16 MiB, so that it stays in the page cache. */
#define STORE_JOURNAL_PAGES 2048

enum store_statement {
	STORE_BEGIN,
	STORE_COMMIT,
	STORE_CALL,
	STORE_RELEASE, /* a call with the columns that only a release has */
	STORE_DECISION,
	STORE_EVENT,
	STORE_QUEUE_FIND,
	STORE_QUEUE_ADD,
	STORE_QUEUE_PLACE,
	STORE_LINK_FIND,
	STORE_LINK_ADD,
	STORE_LINK_PLACE,
	STORE_STATEMENTS,
};

static const char *const statements[STORE_STATEMENTS] = {
	[STORE_BEGIN] = "BEGIN IMMEDIATE",
	[STORE_COMMIT] = "COMMIT",
	[STORE_CALL] =
		"INSERT INTO call_log (seq, time, queue, serial, kind, socket, parent,"
		" requested, effective, local, peer, result, decision, decision_ns, total_ns)"
		" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	[STORE_RELEASE] =
		"INSERT INTO call_log (seq, time, queue, serial, kind, socket, parent,"
		" requested, effective, local, peer, result, decision, decision_ns, total_ns,"
		" bytes_in, bytes_out, duration_ns)"
		" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	[STORE_DECISION] = "INSERT INTO decisions (policy, policy_digest, decider, rule, reason,"
			   " rewriter, rewrite_rule) VALUES (?, ?, ?, ?, ?, ?, ?)",
	[STORE_EVENT] =
		"INSERT INTO event_log (seq, time, kind, link, guest, uid, text, after_call)"
		" VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
	[STORE_QUEUE_FIND] = "SELECT id, place, finished FROM queues WHERE queue = ?",
	[STORE_QUEUE_ADD] = "INSERT INTO queues (queue, boot_id, domid, guest, uuid)"
			    " VALUES (?, ?, ?, ?, ?)",
	[STORE_QUEUE_PLACE] = "UPDATE queues SET place = ?, finished = ? WHERE id = ?",
	[STORE_LINK_FIND] = "SELECT id, place FROM links WHERE link = ?",
	[STORE_LINK_ADD] = "INSERT INTO links (link, boot_id) VALUES (?, ?)",
	[STORE_LINK_PLACE] = "UPDATE links SET place = ? WHERE id = ?",
};

struct store {
	struct store_options options;
	int lock;
	sqlite3 *db;
	sqlite3_stmt *statement[STORE_STATEMENTS];
	struct decisions *decisions;
	bool open_transaction;
	int journal_pages;   /* as of the last commit */
	uint64_t number;     /* of the live segment */
	uint64_t created_ns; /* of the live segment */
	bool has_rows;
	int64_t last_call; /* seq of the last row, committed or not */
	int64_t last_event;
	int64_t committed_call;
	int64_t committed_event;
	uint64_t seen_ns; /* last sign of life of whoever wrote before us */
	char unclean[AUDIT_EVENT_TEXT_MAX];
};

static int store_journal_grown(void *owner, sqlite3 *db, const char *name, int pages)
{
	struct store *store = owner;
	(void)db;
	(void)name;
	store->journal_pages = pages;
	return SQLITE_OK;
}

static void store_close_segment(struct store *store)
{
	for (int i = 0; i < STORE_STATEMENTS; i++) {
		sqlite3_finalize(store->statement[i]);
		store->statement[i] = NULL;
	}
	sql_close(&store->db);
}

static int store_prepare(struct store *store, struct fault *fault)
{
	int error = 0;
	for (int i = 0; error == 0 && i < STORE_STATEMENTS; i++)
		error = sql_prepare(store->db, &store->statement[i], statements[i], fault);
	return error;
}

/* Where the rows of this segment end, or those of the one before if it has none. */
static int store_read_ends(struct store *store, struct fault *fault)
{
	int64_t created = 0;
	int64_t rows = 0;
	int error = sql_number(store->db,
			       "SELECT coalesce((SELECT max(seq) FROM call_log), previous_call)"
			       " FROM segment",
			       &store->last_call, fault);
	if (error == 0)
		error = sql_number(
			store->db,
			"SELECT coalesce((SELECT max(seq) FROM event_log), previous_event)"
			" FROM segment",
			&store->last_event, fault);
	if (error == 0)
		error = sql_number(store->db, "SELECT created FROM segment", &created, fault);
	if (error == 0)
		error = sql_number(store->db,
				   "SELECT EXISTS (SELECT 1 FROM call_log)"
				   " OR EXISTS (SELECT 1 FROM event_log)",
				   &rows, fault);
	store->committed_call = store->last_call;
	store->committed_event = store->last_event;
	store->created_ns = (uint64_t)created;
	store->has_rows = rows != 0;
	return error;
}

static int store_verify_pages(struct store *store, const char *path, struct fault *fault)
{
	int64_t errors = 0;
	int error = sql_number(store->db,
			       "SELECT count(*) FROM pragma_quick_check(1)"
			       " WHERE quick_check <> 'ok'",
			       &errors, fault);
	if (error == 0 && errors != 0)
		error = fault_set(fault, EBADMSG,
				  "%s: damaged on disk: keep a copy of the folder, then move this "
				  "file away",
				  path);
	return error;
}

/* Folds in what an earlier writer left, and proves by a transaction that rows can be written. */
static int store_configure_segment(struct store *store, const char *path, struct fault *fault)
{
	int error = schema_check(store->db, path, fault);
	if (error == 0 && sqlite3_db_readonly(store->db, "main") != 0)
		error = fault_set(fault, EACCES,
				  "%s: not writable: make it writable for the audit writer", path);
	if (error == 0)
		error = sql_run(store->db,
				"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
				"PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -16384;"
				"PRAGMA wal_checkpoint(TRUNCATE);"
				"UPDATE segment SET opened = opened + 1;",
				fault);
	if (error == 0 && store->options.verify)
		error = store_verify_pages(store, path, fault);
	if (error == 0)
		error = schema_upgrade(store->db, fault);
	if (error == 0)
		error = store_prepare(store, fault);
	if (error == 0)
		error = store_read_ends(store, fault);
	sqlite3_wal_hook(store->db, store_journal_grown, store);
	store->journal_pages = 0;
	return error;
}

static int store_open_segment(struct store *store, uint64_t number, struct fault *fault)
{
	char path[SEGMENT_PATH_MAX];
	if (segment_path(path, store->options.dir, number) < 0)
		return fault_set(fault, ENAMETOOLONG, "%s: the folder's name is too long",
				 store->options.dir);
	int error = sql_open(&store->db, path, SQLITE_OPEN_READWRITE, fault);
	if (error == 0)
		error = store_configure_segment(store, path, fault);
	if (error < 0) {
		store_close_segment(store);
		return error;
	}
	store->number = number;
	decisions_clear(store->decisions);
	return 0;
}

static int store_make_segment(struct store *store, uint64_t number, struct fault *fault)
{
	struct segment_head head = {
		.number = number,
		.created_ns = clock_wall_ns(),
		.previous_call = store->last_call,
		.previous_event = store->last_event,
		.boot_id = store->options.boot_id,
	};
	return segment_create(store->options.dir, &head, store->db, fault);
}

/* Closes the live segment and begins the one after it; the old one is sealed later. */
static int store_next_segment(struct store *store, struct fault *fault)
{
	uint64_t number = store->number + 1;
	int error = store_make_segment(store, number, fault);
	if (error < 0)
		return error;
	store_close_segment(store);
	return store_open_segment(store, number, fault);
}

static int store_open_live(struct store *store, struct fault *fault)
{
	struct segment *list = NULL;
	size_t count = 0;
	int error = segment_list(store->options.dir, &list, &count);
	if (error < 0)
		return fault_set(fault, -error, "%s: can't be listed: %s", store->options.dir,
				 strerror(-error));
	uint64_t number = count > 0 ? list[count - 1].number : 1;
	bool sealed = count > 0 && list[count - 1].sealed;
	free(list);

	store->seen_ns = lives_last_seen(store->options.dir, number);
	segment_sweep(store->options.dir, number + 1);
	if (count == 0)
		error = store_make_segment(store, number, fault);
	/* The newest one sealed: its successor is missing, moved away perhaps. */
	if (error == 0 && sealed)
		return fault_set(fault, EPROTO,
				 "%s: the newest segment is sealed and no live one follows it: put "
				 "the missing file back, or begin a new folder",
				 store->options.dir);
	return error < 0 ? error : store_open_segment(store, number, fault);
}

int store_open(struct store **store, const struct store_options *options, struct fault *fault)
{
	struct store *made = calloc(1, sizeof(*made));
	if (!made)
		return fault_set(fault, ENOMEM, "no memory for the audit trail");
	made->lock = -1;
	made->options = *options;
	if (made->options.segment_bytes == 0)
		made->options.segment_bytes = STORE_SEGMENT_BYTES;
	if (made->options.segment_age_s == 0)
		made->options.segment_age_s = STORE_SEGMENT_AGE_S;
	made->decisions = decisions_create();
	int error = made->decisions ? segment_lock(options->dir, &made->lock, fault)
				    : fault_set(fault, ENOMEM, "no memory for the audit trail");
	if (error == 0)
		error = store_open_live(made, fault);
	if (error < 0) {
		store_close(made);
		return error;
	}
	*store = made;
	return 0;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	/* Closing the only connection folds the journal in and removes it. */
	store_close_segment(store);
	decisions_destroy(store->decisions);
	fd_close(&store->lock);
	free(store);
}

void store_forked(struct store *store)
{
	fd_close(&store->lock);
}

static int store_step(struct store *store, enum store_statement which, struct fault *fault)
{
	ASSERT(which < STORE_STATEMENTS && store->statement[which]);
	return sql_step(store->db, store->statement[which], fault);
}

static int store_begin(struct store *store, struct fault *fault)
{
	if (store->open_transaction)
		return 0;
	int error = store_step(store, STORE_BEGIN, fault);
	store->open_transaction = error == 0;
	return error;
}

/* Runs a prepared "find by blob"; returns 1 and the columns, 0 if there is none, or -errno. */
static int store_find(struct store *store, enum store_statement which, const uint8_t key[16],
		      int64_t *columns, int count, struct fault *fault)
{
	sqlite3_stmt *statement = store->statement[which];
	sqlite3_bind_blob(statement, 1, key, 16, SQLITE_STATIC);
	int code = sqlite3_step(statement);
	for (int i = 0; code == SQLITE_ROW && i < count; i++)
		columns[i] = sqlite3_column_int64(statement, i);
	int error = code == SQLITE_DONE || code == SQLITE_ROW
			    ? code == SQLITE_ROW
			    : sql_fault(store->db, "reading", fault);
	sqlite3_reset(statement);
	return error;
}

int store_queue(struct store *store, const struct audit_identity *identity, int64_t *id,
		uint64_t *place, bool *finished, struct fault *fault)
{
	int64_t columns[3] = {0};
	int found = store_find(store, STORE_QUEUE_FIND, identity->queue_id, columns, 3, fault);
	*id = columns[0];
	*place = (uint64_t)columns[1];
	*finished = columns[2] != 0;
	if (found != 0)
		return found < 0 ? found : 0;

	int error = store_begin(store, fault);
	if (error < 0)
		return error;
	sqlite3_stmt *add = store->statement[STORE_QUEUE_ADD];
	sqlite3_bind_blob(add, 1, identity->queue_id, sizeof(identity->queue_id), SQLITE_STATIC);
	sqlite3_bind_text(add, 2, store->options.boot_id, -1, SQLITE_STATIC);
	sqlite3_bind_int64(add, 3, identity->domid);
	sqlite3_bind_text(add, 4, identity->name, -1, SQLITE_STATIC);
	sqlite3_bind_text(add, 5, identity->uuid, -1, SQLITE_STATIC);
	error = store_step(store, STORE_QUEUE_ADD, fault);
	*id = sqlite3_last_insert_rowid(store->db);
	return error;
}

int store_link(struct store *store, const uint8_t link[16], int64_t *id, uint64_t *place,
	       struct fault *fault)
{
	int64_t columns[2] = {0};
	int found = store_find(store, STORE_LINK_FIND, link, columns, 2, fault);
	*id = columns[0];
	*place = (uint64_t)columns[1];
	if (found != 0)
		return found < 0 ? found : 0;

	int error = store_begin(store, fault);
	if (error < 0)
		return error;
	sqlite3_stmt *add = store->statement[STORE_LINK_ADD];
	sqlite3_bind_blob(add, 1, link, 16, SQLITE_STATIC);
	sqlite3_bind_text(add, 2, store->options.boot_id, -1, SQLITE_STATIC);
	error = store_step(store, STORE_LINK_ADD, fault);
	*id = sqlite3_last_insert_rowid(store->db);
	return error < 0 ? error : lives_lose_previous(store->db, *id, store->seen_ns, fault);
}

static int store_add_decision(struct store *store, const struct audit_record *record, int64_t *id,
			      struct fault *fault)
{
	sqlite3_stmt *add = store->statement[STORE_DECISION];
	sqlite3_bind_text(add, 1, record->policy, -1, SQLITE_STATIC);
	sqlite3_bind_blob(add, 2, record->policy_digest, AUDIT_DIGEST_BYTES, SQLITE_STATIC);
	sqlite3_bind_text(add, 3, record->decider, -1, SQLITE_STATIC);
	sqlite3_bind_text(add, 4, record->rule, -1, SQLITE_STATIC);
	sqlite3_bind_text(add, 5, record->reason, -1, SQLITE_STATIC);
	sqlite3_bind_text(add, 6, record->rewriter, -1, SQLITE_STATIC);
	sqlite3_bind_text(add, 7, record->rewrite_rule, -1, SQLITE_STATIC);
	int error = store_step(store, STORE_DECISION, fault);
	if (error == 0)
		*id = sqlite3_last_insert_rowid(store->db);
	return error;
}

/* A number whose zero means "none". */
static void store_bind_some(sqlite3_stmt *statement, int column, uint64_t value)
{
	if (value != 0)
		sqlite3_bind_int64(statement, column, (int64_t)value);
	else
		sqlite3_bind_null(statement, column);
}

static void store_bind_endpoint(sqlite3_stmt *statement, int column,
				const struct pvcalls_endpoint *endpoint)
{
	if (endpoint->family != 0)
		sqlite3_bind_int64(statement, column, schema_endpoint(endpoint));
	else
		sqlite3_bind_null(statement, column);
}

/* NULL in `requested` says: as effective. */
static void store_bind_requested(sqlite3_stmt *statement, int column,
				 const struct audit_record *record)
{
	int64_t requested = schema_endpoint(&record->requested);
	if (requested != schema_endpoint(&record->effective))
		sqlite3_bind_int64(statement, column, requested);
	else
		sqlite3_bind_null(statement, column);
}

int store_call(struct store *store, int64_t queue, const struct audit_record *record, bool known,
	       struct fault *fault)
{
	ASSERT(record->op <= PVCALLS_OP_COUNT && record->verdict < VERDICTS);
	ASSERT(record->close_reason < AUDIT_CLOSE_REASONS && record->result <= 0);
	ASSERT(record->rewritten <= 1 && record->cancelled <= 1);
	int error = store_begin(store, fault);
	int64_t *decision = decisions_find(store->decisions, record);
	if (error == 0 && *decision == 0)
		error = store_add_decision(store, record, decision, fault);
	if (error < 0)
		return error;

	bool traffic = record->op == PVCALLS_OP_RELEASE;
	enum store_statement which = traffic ? STORE_RELEASE : STORE_CALL;
	sqlite3_stmt *row = store->statement[which];
	sqlite3_bind_int64(row, 1, ++store->last_call);
	sqlite3_bind_int64(row, 2, (int64_t)record->wall_ns);
	sqlite3_bind_int64(row, 3, queue);
	sqlite3_bind_int64(row, 4, (int64_t)record->serial);
	sqlite3_bind_int64(row, 5,
			   SCHEMA_KIND(record->op, record->verdict, record->rewritten,
				       record->close_reason, record->cancelled));
	store_bind_some(row, 6, record->socket);
	store_bind_some(row, 7, record->parent);
	store_bind_requested(row, 8, record);
	store_bind_endpoint(row, 9, &record->effective);
	store_bind_endpoint(row, 10, &record->local);
	store_bind_endpoint(row, 11, &record->peer);
	if (known)
		sqlite3_bind_int64(row, 12, -record->result);
	else
		sqlite3_bind_null(row, 12);
	sqlite3_bind_int64(row, 13, *decision);
	sqlite3_bind_int64(row, 14, (int64_t)record->decision_ns);
	sqlite3_bind_int64(row, 15, (int64_t)record->total_ns);
	if (traffic) {
		sqlite3_bind_int64(row, 16, (int64_t)record->bytes_in);
		sqlite3_bind_int64(row, 17, (int64_t)record->bytes_out);
		sqlite3_bind_int64(row, 18, (int64_t)record->duration_ns);
	}
	return store_step(store, which, fault);
}

static int store_event_row(struct store *store, const struct store_event *event,
			   struct fault *fault)
{
	sqlite3_stmt *row = store->statement[STORE_EVENT];
	sqlite3_bind_int64(row, 1, ++store->last_event);
	sqlite3_bind_int64(row, 2, (int64_t)event->wall_ns);
	sqlite3_bind_int64(row, 3, event->kind);
	sqlite3_bind_int64(row, 4, event->link);
	sqlite3_bind_text(row, 5, event->guest, -1, SQLITE_STATIC);
	sqlite3_bind_int64(row, 6, event->uid);
	sqlite3_bind_text(row, 7, event->text, -1, SQLITE_STATIC);
	sqlite3_bind_int64(row, 8, store->last_call);
	return store_step(store, STORE_EVENT, fault);
}

/* A supervisor begins: how did the one before it end? */
static int store_begin_life(struct store *store, const struct store_event *start,
			    struct fault *fault)
{
	char text[AUDIT_EVENT_TEXT_MAX];
	struct store_event end = *start;
	int error =
		lives_tell_end(store->db, start->link, start->wall_ns, text, sizeof(text), fault);
	end.kind = AUDIT_EVENT_UNCLEAN_END;
	end.text = text;
	if (error == 0 && text[0] != '\0')
		error = store_event_row(store, &end, fault);
	if (error < 0)
		return error;
	snprintf(store->unclean, sizeof(store->unclean), "%s", text);
	return lives_begin(store->db, start->link, start->wall_ns, fault);
}

int store_event(struct store *store, const struct store_event *event, struct fault *fault)
{
	int error = store_begin(store, fault);
	if (error == 0 && event->kind == AUDIT_EVENT_START)
		error = store_begin_life(store, event, fault);
	if (error == 0 && event->kind == AUDIT_EVENT_STOP)
		error = lives_stop(store->db, event->link, event->wall_ns, fault);
	if (error == 0)
		error = store_event_row(store, event, fault);
	sqlite3_bind_int64(store->statement[STORE_LINK_PLACE], 1, (int64_t)event->number);
	sqlite3_bind_int64(store->statement[STORE_LINK_PLACE], 2, event->link);
	return error < 0 ? error : store_step(store, STORE_LINK_PLACE, fault);
}

int store_place(struct store *store, int64_t queue, uint64_t place, bool finished,
		struct fault *fault)
{
	int error = store_begin(store, fault);
	if (error < 0)
		return error;
	sqlite3_stmt *update = store->statement[STORE_QUEUE_PLACE];
	sqlite3_bind_int64(update, 1, (int64_t)place);
	sqlite3_bind_int(update, 2, finished);
	sqlite3_bind_int64(update, 3, queue);
	return store_step(store, STORE_QUEUE_PLACE, fault);
}

int store_lost(struct store *store, int64_t link, uint64_t wall_ns, int64_t stored,
	       struct fault *fault)
{
	int error = store_begin(store, fault);
	return error < 0 ? error : lives_lose(store->db, link, wall_ns, stored, fault);
}

int store_commit(struct store *store, struct fault *fault)
{
	if (!store->open_transaction)
		return 0;
	int error = store_step(store, STORE_COMMIT, fault);
	if (error < 0)
		return error;
	store->open_transaction = false;
	store->has_rows |= store->last_call != store->committed_call ||
			   store->last_event != store->committed_event;
	store->committed_call = store->last_call;
	store->committed_event = store->last_event;
	return 0;
}

/* The size of the live segment, with what is still in its journal. */
static int store_due_by_size(struct store *store, bool *due, struct fault *fault)
{
	int64_t pages = 0;
	int error = sql_number(store->db, "PRAGMA page_count", &pages, fault);
	*due = (uint64_t)pages * SEGMENT_PAGE_SIZE >= store->options.segment_bytes;
	return error;
}

int store_upkeep(struct store *store, uint64_t now_ns, struct fault *fault)
{
	bool due = false;
	int error = store_due_by_size(store, &due, fault);
	if (error == 0 && store->has_rows && (due || now_ns >= store_due_ns(store)))
		return store_next_segment(store, fault);
	if (error < 0 || store->journal_pages < STORE_JOURNAL_PAGES)
		return error;
	int code =
		sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	/* A reader in the way is no error: what it still needs is folded in the next time. */
	if (code != SQLITE_OK && (code & 0xff) != SQLITE_BUSY)
		return sql_fault(store->db, "folding its journal in", fault);
	store->journal_pages = 0;
	return 0;
}

uint64_t store_due_ns(const struct store *store)
{
	if (!store->has_rows)
		return UINT64_MAX;
	return store->created_ns + store->options.segment_age_s * NS_PER_S;
}

uint64_t store_segment(const struct store *store)
{
	return store->number;
}

int64_t store_last_call(const struct store *store)
{
	return store->committed_call;
}

void store_touch(struct store *store)
{
	/* Without it the last row is the last sign of life. */
	(void)futimens(store->lock, NULL);
}

const char *store_unclean_end(const struct store *store)
{
	return store->unclean;
}
