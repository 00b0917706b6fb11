/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Segments: the files that a trail consists of, audit-NNNNNNNN.db, numbered from 1.
 *
 * Theory of operation. The segment with the highest number is live and takes rows; all others are
 * sealed or about to be. A new segment is written under another name and renamed when it is
 * complete, so that a power cut leaves either the old state or the new one. Sealing happens after
 * the next segment has begun and in a process of its own, because completing the indices takes
 * seconds; until then the segment is read like the live one.
 */
#ifndef AUDIT_STORE_SEGMENT_H
#define AUDIT_STORE_SEGMENT_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

#define SEGMENT_LOCK_NAME "lock" /* in the trail's folder: held by who writes to it */
#define SEGMENT_NAME_MAX  32     /* bytes of a file name with its NUL */
#define SEGMENT_PATH_MAX  4096   /* bytes of a folder and a file name with the NUL */
#define SEGMENT_PAGE_SIZE 8192
#define SEGMENT_MODE_LIVE 0600
#define SEGMENT_MODE_DONE 0440 /* no write bit: sealed */

/* A segment as found in the folder. */
struct segment {
	uint64_t number;
	bool sealed;
};

/* What a new segment says of itself and of the one before. */
struct segment_head {
	uint64_t number;
	uint64_t created_ns;    /* UTC */
	int64_t previous_call;  /* seq of the last call before it, 0: none */
	int64_t previous_event; /* likewise of events */
	const char *boot_id;    /* queues and links of this boot are carried over */
};

/* The path of a segment. Returns 0, or -ENAMETOOLONG. */
int segment_path(char path[SEGMENT_PATH_MAX], const char *dir, uint64_t number);

/*
 * Locks the trail in dir for one writer. Returns 0 and *lock, a descriptor whose closing unlocks
 * it, or -errno and *fault: -EBUSY if another one has it. What is in *lock is to be closed then
 * too, if it is not negative.
 */
int segment_lock(const char *dir, int *lock, struct fault *fault);

/* All segments of a folder by rising number; the caller frees *list. Returns 0, or -errno. */
int segment_list(const char *dir, struct segment **list, size_t *count);

/*
 * Makes a complete, empty segment; from (may be NULL) is the one before, whose unfinished queues
 * and links are carried over. Returns 0, or -errno and *fault.
 */
int segment_create(const char *dir, const struct segment_head *head, sqlite3 *from,
		   struct fault *fault);
/* Removes what a segment_create() that was cut short has left. */
void segment_sweep(const char *dir, uint64_t number);

/*
 * Seals a segment: indices, journal folded in, read-only. May be repeated after it was cut short.
 * Returns 0, -EBUSY while a reader has it open (try again later), or -errno; and *fault.
 */
int segment_seal(const char *dir, uint64_t number, uint64_t now_ns, struct fault *fault);

#endif
