/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The writer's end of one queue.
 *
 * Theory of operation. An engine may be captured by its guest, so the shared memory is an
 * adversary's: places and slot numbers are checked, a record is copied once and only the copy is
 * looked at, and what an engine never writes is brought into range and reported. The place up to
 * which records were taken is kept here and in the database, never read back from the memory.
 *
 * The order that makes a killed writer lose and double nothing: rows and place are committed in
 * one transaction, then slots are marked free, then `stored` is raised. drain_resume() repeats the
 * last two steps for whatever lies between `stored` and the committed place.
 */
#ifndef AUDIT_QUEUE_DRAIN_H
#define AUDIT_QUEUE_DRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "audit/queue/audit_queue.h"
#include "ipc/audit_record.h"

struct drain;

/*
 * Maps the memory of a queue. identity is the supervisor's word on whose it is (what lies in the
 * memory could have been changed); both descriptors are owned by the drain from here on, also when
 * it fails. Returns 0 and *drain, or -errno.
 */
int drain_open(struct drain **drain, const struct audit_identity *identity, int memfd,
	       int engine_eventfd);
/* Unmaps and closes; NULL is left alone. */
void drain_close(struct drain *drain);

/* Whose records these are; lives as long as the drain. */
const struct audit_identity *drain_identity(const struct drain *drain);
/*
 * Continues after place, the number of records of this queue that the database holds; 0 for a
 * database that does not know the queue.
 */
void drain_resume(struct drain *drain, uint64_t place);
/* The number of records taken so far: what the database is to remember with them. */
uint64_t drain_place(const struct drain *drain);
/* Records that are done and not yet taken, at most AUDIT_QUEUE_SLOTS. */
uint32_t drain_ready(struct drain *drain);
/*
 * The time that the next done record says it has, at most INT64_MAX; UINT64_MAX: there is none. It
 * is read again when it is taken, and may then be another.
 */
uint64_t drain_next_ns(struct drain *drain);
/* Copies the next done record, in range and with its strings ended. False if there is none. */
bool drain_take(struct drain *drain, struct audit_record *record);
/* What was taken is on disk: frees the slots and wakes an engine that waits for it. */
void drain_committed(struct drain *drain);
/* What was taken since the last commit was not stored, and will be taken again. */
void drain_undo(struct drain *drain);

/*
 * After the engine's end, when drain_ready() is 0: copies the next record that waited (state
 * AUDIT_SLOT_WAITING; then it is dated now), was asked about (AUDIT_SLOT_ASKED; then it says in
 * which plugin the engine ended), decided or done but not handed over, from slot *cursor (0 at
 * first) on. False: none.
 */
bool drain_leftover(struct drain *drain, uint32_t *cursor, struct audit_record *record);

/* Whether a call of the engine is under way: a slot taken or decided. Looks at every slot. */
bool drain_busy(const struct drain *drain);

/*
 * The writer is about to sleep, for milliseconds (timed) or until it is woken. Returns false if
 * there is work: then it must not sleep.
 */
bool drain_sleep(struct drain *drain, bool timed);
/* The writer is awake: the engine need not wake it. */
void drain_wake(struct drain *drain);

/*
 * What the memory held that no engine of ours writes, in words; NULL while it is sound. Damage of
 * the ring itself ends drain_take(); the slots are then looked at in drain_leftover() only.
 */
const char *drain_damage(const struct drain *drain);

#endif
