/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When supervisors began, and how they ended: the columns of `links` that say so.
 *
 * Theory of operation. A supervisor that stops in order has that stored, and nothing comes after
 * it. So a successor that finds a beginning without a stop knows that the end was another. When it
 * was is the writer's word, if the writer outlived it (it sees the socket close, and stores what
 * the queues hold); otherwise the last sign of life is when the files of the trail were last
 * written, or the lock file was touched, which a writer does now and then while it has nothing to
 * store.
 */
#ifndef AUDIT_STORE_LIVES_H
#define AUDIT_STORE_LIVES_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

/*
 * The last sign of life of whoever wrote to this folder, whose live segment has this number: UTC,
 * to be asked before the segment is opened. 0: there is none.
 */
uint64_t lives_last_seen(const char *dir, uint64_t segment);

/* These belong to the open transaction. Each returns 0, or -errno and *fault. */

/* The supervisor of a link begins to serve; it stops, and will say no more. */
int lives_begin(sqlite3 *db, int64_t link, uint64_t wall_ns, struct fault *fault);
int lives_stop(sqlite3 *db, int64_t link, uint64_t wall_ns, struct fault *fault);
/*
 * The supervisor of a link is gone; one that has stopped, or never began, is left alone. It was
 * last seen at seen_ns, and calls behind the first `stored` rows came from its queues after that.
 */
int lives_lose(sqlite3 *db, int64_t link, uint64_t seen_ns, int64_t stored, struct fault *fault);
/* Likewise the supervisor before this link's, whose writer did not say when it ended. */
int lives_lose_previous(sqlite3 *db, int64_t link, uint64_t seen_ns, struct fault *fault);

/*
 * How the supervisor before this link's ended, in words: since when it is gone, and what became of
 * its calls and guests; now_ns is UTC. "": in order, or nobody knows of one.
 */
int lives_tell_end(sqlite3 *db, int64_t link, uint64_t now_ns, char *text, size_t size,
		   struct fault *fault);

#endif
