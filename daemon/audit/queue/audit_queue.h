/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The queue from one engine to pvcalls-auditd: a pool of slots in shared memory.
 *
 * Theory of operation. The memory is a memfd that the supervisor makes and that engine, writer and
 * supervisor hold, so it outlives any of them. Calls finish out of order (an accept may wait for
 * hours), so slots are a pool, not a line. Beside it lies one ring of slot numbers with two places:
 * `done`, up to which the engine has handed slots over, and `stored`, up to which the writer has
 * committed them; slots before `stored` are free again. A full queue makes audit_queue_take()
 * return NULL; then the guest's ring is left unread. What happens without the guest, as when the
 * operator kills a socket, is kept in the engine's own memory meanwhile. Nothing is ever dropped.
 *
 * The writer stores its place in the same transaction as the rows, so a writer that was killed
 * between commit and free stores nothing twice. The writer trusts nothing in this memory: each
 * index is checked, each record copied once before it is looked at.
 *
 * Who wakes the writer: with `now` (sync durability) any record does; otherwise the writer, once
 * woken, looks again by itself every few milliseconds while records come, and only a good part of
 * the pool wakes it earlier. An idle writer sleeps without a timer, and a lone record wakes it.
 */
#ifndef AUDIT_QUEUE_H
#define AUDIT_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/audit_record.h"

#define AUDIT_QUEUE_SLOTS 8192u /* a power of two */

/*
 * Done slots at which a lazy writer is woken before its timer: an eighth of the pool, so that the
 * engine never waits for a slot while the writer commits, and a commit pays for many rows.
 */
#define AUDIT_QUEUE_WAKE_AT (AUDIT_QUEUE_SLOTS / 8u)

struct audit_queue;
struct hook_mark;

/* Makes the memory of an empty queue for a guest. Returns a sealed memfd, or -errno. */
int audit_queue_create(const struct audit_identity *identity);
/* Whom the queue in memfd was made for; to be asked before an engine has the memory. 0 or -errno.
 */
int audit_queue_identity(int memfd, struct audit_identity *identity);

/*
 * The engine's end. Maps memfd; both eventfds are borrowed: the one that wakes the writer, and
 * the one by which the writer wakes us. Returns 0 and *queue, or -errno.
 */
int audit_queue_open(struct audit_queue **queue, int memfd, int writer_eventfd, int engine_eventfd);
/* Unmaps; NULL is left alone. */
void audit_queue_close(struct audit_queue *queue);

/* A zeroed slot in state TAKEN, and its number; NULL if there is none (see audit_queue_await). */
struct audit_record *audit_queue_take(struct audit_queue *queue, uint32_t *slot);
/* Whether audit_queue_take() has one. */
bool audit_queue_has_room(const struct audit_queue *queue);
/*
 * As audit_queue_take(), for what has happened and can't wait. If there is no slot, the record is
 * kept in our own memory when it is done, until audit_queue_reap() finds one for it. What is done
 * after it is handed over after it, and audit_queue_take() has nothing so long. Only one is written
 * at a time, and it is not given back. NULL: there is no memory.
 */
struct audit_record *audit_queue_take_kept(struct audit_queue *queue, uint32_t *slot);
/* The record in a slot that was taken. Valid until it is done. */
struct audit_record *audit_queue_record(struct audit_queue *queue, uint32_t slot);
/* Gives back a slot that is TAKEN: its call was never decided. */
void audit_queue_untake(struct audit_queue *queue, uint32_t slot);
/*
 * What is waited for, without what the policy will be asked, is in the slot, which was TAKEN: from
 * here on it will be stored, whatever happens to the engine.
 */
void audit_queue_waits(struct audit_queue *queue, uint32_t slot);
/* Whether that was said of the slot last. */
bool audit_queue_is_waiting(const struct audit_queue *queue, uint32_t slot);
/* Likewise when what is asked, without the decision, is in the slot, which was TAKEN or WAITING. */
void audit_queue_asked(struct audit_queue *queue, uint32_t slot);
/* The decision is in the slot, which was TAKEN, WAITING or ASKED: it will be stored as well. */
void audit_queue_decided(struct audit_queue *queue, uint32_t slot);
/*
 * The decision of a slot that is DECIDED no longer holds (a wait has changed it): takes the slot
 * back to ASKED, so that it may be written anew. An engine that dies in between leaves a record
 * that was not decided, and never one that is half old and half new.
 */
void audit_queue_undecided(struct audit_queue *queue, uint32_t slot);
/* A slot that is DECIDED is complete: hands it to the writer. audit_queue_flush() makes the writer
 * look. */
void audit_queue_done(struct audit_queue *queue, uint32_t slot);
/* Rings the writer's eventfd and (now, or enough slots are done). Once per turn. */
void audit_queue_flush(struct audit_queue *queue, bool now);

/*
 * Collects slots that were committed; calls stored(owner, slot) for each before it can be taken
 * again. stored may be NULL. Returns how many.
 */
uint32_t audit_queue_reap(struct audit_queue *queue, void (*stored)(void *owner, uint32_t slot),
			  void *owner);
/* Asks to be woken through the engine's eventfd at the next commit: no slot is left, or durability
 * is sync. */
void audit_queue_await(struct audit_queue *queue);
/* Slots neither free nor yet reaped: for status. */
uint32_t audit_queue_used(const struct audit_queue *queue);
/* Records that are done and wait in our own memory for a slot. */
uint32_t audit_queue_kept(const struct audit_queue *queue);
/* Where the engine notes which plugin is running, for those who find it dead. */
struct hook_mark *audit_queue_hook(struct audit_queue *queue);
/*
 * Reads that from a queue's memory, whose engine has ended. Returns whether it ended in a hook;
 * then *mark says in which.
 */
bool audit_queue_ended_in_hook(int memfd, struct hook_mark *mark);

#endif
