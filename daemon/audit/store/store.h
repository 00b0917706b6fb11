/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The trail on disk: rows into the live segment, one transaction at a time.
 *
 * Theory of operation. The store has the only writing connection of its folder (a lock file sees to
 * that) and the only one that checkpoints, between transactions. Beside the rows of a queue a
 * transaction holds the queue's place, so what was stored and where to go on can't disagree. After
 * any error the caller rolls back, closes, and opens again: store_open() folds the whole journal
 * into the segment before it believes what it reads, because after a failed fsync a journal may
 * look complete in the page cache and yet not be on disk.
 */
#ifndef AUDIT_STORE_H
#define AUDIT_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "ipc/audit_record.h"
#include "ipc/auditd_message.h"

#define STORE_SEGMENT_BYTES (256ull << 20) /* a segment is sealed at this size ... */
#define STORE_SEGMENT_AGE_S 86400ull       /* ... or at this age, if it holds a row */

struct store;

/* How a trail is kept. */
struct store_options {
	const char *dir;        /* lives as long as the store */
	uint64_t segment_bytes; /* 0: STORE_SEGMENT_BYTES */
	uint64_t segment_age_s; /* 0: STORE_SEGMENT_AGE_S */
	bool verify;            /* check the live segment page by page: after an I/O error */
	char boot_id[40];       /* of this boot, for rows */
};

/* An event of the system, ready to be stored. */
struct store_event {
	int64_t link;    /* id from store_link() */
	uint64_t number; /* of the event within that link */
	uint64_t wall_ns;
	uint32_t kind; /* enum audit_event */
	uint32_t uid;
	const char *guest; /* NULL: none */
	const char *text;
};

/*
 * Locks the folder and opens its live segment, making the first one if there is none. Returns 0 and
 * *store, or -errno and *fault: -EBUSY (another writer), -EPROTO (another version), and so on.
 */
int store_open(struct store **store, const struct store_options *options, struct fault *fault);
/* Rolls back what was not committed, folds the journal in, unlocks. NULL is left alone. */
void store_close(struct store *store);

/*
 * Finds or enters a queue. Returns 0 with *id, *place (its records that are stored) and *finished,
 * or -errno and *fault.
 */
int store_queue(struct store *store, const struct audit_identity *identity, int64_t *id,
		uint64_t *place, bool *finished, struct fault *fault);
/*
 * Finds or enters a supervisor; *place is the number of its last event that is stored. One that is
 * entered has the one before it taken for gone, if that has not stopped.
 */
int store_link(struct store *store, const uint8_t link[16], int64_t *id, uint64_t *place,
	       struct fault *fault);

/*
 * These five are one transaction, begun by the first. Each returns 0, or -errno and *fault.
 *
 * A row for a record, its values in range (see drain_take()), of the queue with this id; known is
 * false if the outcome never was written.
 */
int store_call(struct store *store, int64_t queue, const struct audit_record *record, bool known,
	       struct fault *fault);
/*
 * A row for an event, which also remembers its number as the link's place. Before a start comes an
 * AUDIT_EVENT_UNCLEAN_END, if the supervisor before it did not end with a stop.
 */
int store_event(struct store *store, const struct store_event *event, struct fault *fault);
/* Remembers a queue's place with the rows; finished: there will be no more. */
int store_place(struct store *store, int64_t queue, uint64_t place, bool finished,
		struct fault *fault);
/* The supervisor of a link is gone since wall_ns, when `stored` was store_last_call(). */
int store_lost(struct store *store, int64_t link, uint64_t wall_ns, int64_t stored,
	       struct fault *fault);
/* Commits and waits for the disk. Nothing to commit: 0. */
int store_commit(struct store *store, struct fault *fault);

/*
 * Between transactions: checkpoints if the journal is long, begins the next segment if this one is
 * due. Returns 0, or -errno and *fault.
 */
int store_upkeep(struct store *store, uint64_t now_ns, struct fault *fault);
/* When (UTC) the live segment becomes due by age; UINT64_MAX if it has no rows. */
uint64_t store_due_ns(const struct store *store);
/* seq of the last call that is stored. */
int64_t store_last_call(const struct store *store);
/* Leaves a sign of life, for whoever finds the trail without a stop. */
void store_touch(struct store *store);
/* What an AUDIT_EVENT_UNCLEAN_END of this store said; "": there was none. */
const char *store_unclean_end(const struct store *store);
/* The number of the live segment. */
uint64_t store_segment(const struct store *store);
/* Closes the lock file in a forked process that must not hold it. */
void store_forked(struct store *store);

#endif
