/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "audit/queue/drain.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "audit/queue/queue_memory.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/fd.h"
#include "call/call.h"

#define ERRNO_MAX     4095       /* the largest errno of Linux */
#define DRAIN_NO_SLOT UINT32_MAX /* in place of a number of the ring that is none */

struct drain {
	struct queue_memory *memory;
	struct audit_identity identity;
	int memfd;
	int engine_eventfd;
	bool broken;                      /* the ring makes no sense: take nothing more from it */
	const char *damage;               /* the first thing that was wrong, or NULL */
	uint64_t taken;                   /* places copied */
	uint64_t committed;               /* places whose rows are on disk */
	uint32_t slot[AUDIT_QUEUE_SLOTS]; /* our copy of the ring's numbers, from committed on */
};

int drain_open(struct drain **drain, const struct audit_identity *identity, int memfd,
	       int engine_eventfd)
{
	struct drain *made = calloc(1, sizeof(*made));
	if (!made) {
		fd_close(&memfd);
		fd_close(&engine_eventfd);
		return -ENOMEM;
	}
	made->identity = *identity;
	made->memfd = memfd;
	made->engine_eventfd = engine_eventfd;
	int error = queue_memory_map(&made->memory, memfd);
	if (error == 0 && !queue_memory_is_known(made->memory))
		error = -EPROTO;
	if (error < 0) {
		drain_close(made);
		return error;
	}
	*drain = made;
	return 0;
}

void drain_close(struct drain *drain)
{
	if (!drain)
		return;
	queue_memory_unmap(drain->memory);
	fd_close(&drain->memfd);
	fd_close(&drain->engine_eventfd);
	free(drain);
}

const struct audit_identity *drain_identity(const struct drain *drain)
{
	return &drain->identity;
}

uint64_t drain_place(const struct drain *drain)
{
	return drain->taken;
}

const char *drain_damage(const struct drain *drain)
{
	return drain->damage;
}

static void drain_note_damage(struct drain *drain, const char *what)
{
	if (!drain->damage)
		drain->damage = what;
}

static void drain_note_broken(struct drain *drain, const char *what)
{
	drain->broken = true;
	drain_note_damage(drain, what);
}

/* Marks the slots of the places before end as free, then lets the engine have them. */
static void drain_free_slots(struct drain *drain, uint64_t from, uint64_t end)
{
	ASSERT(from <= end && end - from <= AUDIT_QUEUE_SLOTS);
	for (uint64_t place = from; place < end; place++) {
		uint32_t slot = drain->slot[place & QUEUE_MASK];
		if (slot == DRAIN_NO_SLOT)
			continue;
		ASSERT(slot < AUDIT_QUEUE_SLOTS);
		__atomic_store_n(&drain->memory->record[slot].state, AUDIT_SLOT_FREE,
				 __ATOMIC_RELAXED);
	}
	__atomic_store_n(&drain->memory->stored, end, __ATOMIC_SEQ_CST);
}

static void drain_wake_engine(struct drain *drain)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&drain->memory->engine_waits, __ATOMIC_RELAXED) == 0)
		return;
	__atomic_store_n(&drain->memory->engine_waits, 0, __ATOMIC_SEQ_CST);
	/* A captured engine could have filled the counter to make us wait in write(). */
	struct pollfd poll_engine = {.fd = drain->engine_eventfd, .events = POLLOUT};
	if (poll(&poll_engine, 1, 0) == 1 && (poll_engine.revents & POLLOUT) != 0)
		(void)eventfd_write(drain->engine_eventfd, 1);
}

/* The slot at a place of the ring, read once; DRAIN_NO_SLOT if its number is none. */
static uint32_t drain_read_slot(const struct drain *drain, uint64_t place)
{
	uint32_t slot = __atomic_load_n(&drain->memory->ring[place & QUEUE_MASK], __ATOMIC_RELAXED);
	return slot < AUDIT_QUEUE_SLOTS ? slot : DRAIN_NO_SLOT;
}

void drain_resume(struct drain *drain, uint64_t place)
{
	uint64_t stored = __atomic_load_n(&drain->memory->stored, __ATOMIC_ACQUIRE);
	/* A database that never saw this queue: an earlier one, moved away since, holds the rest.
	 */
	if (place == 0)
		place = stored;
	if (stored > place || place - stored > AUDIT_QUEUE_SLOTS) {
		drain_note_broken(drain, "its count of stored records is not the database's");
		stored = place;
	}
	for (uint64_t at = stored; at < place; at++) {
		uint32_t slot = drain_read_slot(drain, at);
		if (slot == DRAIN_NO_SLOT)
			drain_note_damage(drain, "the number of a stored slot is out of range");
		drain->slot[at & QUEUE_MASK] = slot;
	}
	drain->taken = place;
	drain->committed = place;
	drain_free_slots(drain, stored, place);
	drain_wake_engine(drain);
}

uint32_t drain_ready(struct drain *drain)
{
	if (drain->broken)
		return 0;
	uint64_t done = __atomic_load_n(&drain->memory->done, __ATOMIC_ACQUIRE);
	if (done < drain->taken || done - drain->committed > AUDIT_QUEUE_SLOTS) {
		drain_note_broken(drain, "its count of done records is out of range");
		return 0;
	}
	return (uint32_t)(done - drain->taken);
}

static uint64_t drain_bounded(uint64_t value)
{
	return value > INT64_MAX ? INT64_MAX : value;
}

static bool drain_make_endpoint_sound(struct pvcalls_endpoint *endpoint)
{
	if (endpoint->family == 0 || endpoint->family == 2)
		return true;
	memset(endpoint, 0, sizeof(*endpoint));
	return false;
}

/* Brings every field into the range that readers of the trail rely on. False if one was not. */
static bool drain_make_sound(struct audit_record *record)
{
	bool sound = drain_make_endpoint_sound(&record->requested);

	sound = drain_make_endpoint_sound(&record->effective) && sound;
	sound = drain_make_endpoint_sound(&record->local) && sound;
	sound = drain_make_endpoint_sound(&record->peer) && sound;
	if (record->op > PVCALLS_OP_COUNT) {
		record->op = PVCALLS_OP_COUNT;
		sound = false;
	}
	if (record->verdict >= VERDICTS) {
		record->verdict = VERDICT_FAULT;
		sound = false;
	}
	if (record->close_reason >= AUDIT_CLOSE_REASONS) {
		record->close_reason = AUDIT_CLOSE_NONE;
		sound = false;
	}
	if (record->result > 0 || record->result < -ERRNO_MAX) {
		record->result = -EIO;
		sound = false;
	}
	record->rewritten = record->rewritten != 0;
	record->cancelled = record->cancelled != 0;
	record->wall_ns = drain_bounded(record->wall_ns);
	record->serial = drain_bounded(record->serial);
	record->socket = drain_bounded(record->socket);
	record->parent = drain_bounded(record->parent);
	record->decision_ns = drain_bounded(record->decision_ns);
	record->total_ns = drain_bounded(record->total_ns);
	record->bytes_in = drain_bounded(record->bytes_in);
	record->bytes_out = drain_bounded(record->bytes_out);
	record->duration_ns = drain_bounded(record->duration_ns);
	record->policy[sizeof(record->policy) - 1] = '\0';
	record->decider[sizeof(record->decider) - 1] = '\0';
	record->rule[sizeof(record->rule) - 1] = '\0';
	record->reason[sizeof(record->reason) - 1] = '\0';
	record->rewriter[sizeof(record->rewriter) - 1] = '\0';
	record->rewrite_rule[sizeof(record->rewrite_rule) - 1] = '\0';
	return sound;
}

/* The one place that reads a record. The barrier keeps the compiler from reading it again. */
static void drain_copy_once(struct drain *drain, uint32_t slot, struct audit_record *record)
{
	ASSERT(slot < AUDIT_QUEUE_SLOTS);
	memcpy(record, &drain->memory->record[slot], sizeof(*record));
	__asm__ volatile("" : : : "memory");
}

uint64_t drain_next_ns(struct drain *drain)
{
	if (drain_ready(drain) == 0)
		return UINT64_MAX;
	uint32_t slot = drain_read_slot(drain, drain->taken);
	if (slot == DRAIN_NO_SLOT)
		return 0; /* whoever takes it learns what is wrong */
	return drain_bounded(
		__atomic_load_n(&drain->memory->record[slot].wall_ns, __ATOMIC_RELAXED));
}

bool drain_take(struct drain *drain, struct audit_record *record)
{
	if (drain_ready(drain) == 0)
		return false;
	uint32_t slot = drain_read_slot(drain, drain->taken);
	if (slot == DRAIN_NO_SLOT) {
		drain_note_broken(drain, "a slot number is out of range");
		return false;
	}
	drain_copy_once(drain, slot, record);
	if (record->state != AUDIT_SLOT_DONE)
		drain_note_damage(drain, "a slot was handed over that is not done");
	if (!drain_make_sound(record))
		drain_note_damage(drain, "a record has a value out of range");
	ASSERT(drain->taken - drain->committed < AUDIT_QUEUE_SLOTS);
	drain->slot[drain->taken & QUEUE_MASK] = slot;
	drain->taken++;
	return true;
}

void drain_committed(struct drain *drain)
{
	if (drain->taken == drain->committed)
		return;
	drain_free_slots(drain, drain->committed, drain->taken);
	drain->committed = drain->taken;
	drain_wake_engine(drain);
}

void drain_undo(struct drain *drain)
{
	drain->taken = drain->committed;
}

/* Nobody will say what is to become of this call. The plugin in which its engine ended has failed.
 */
static void drain_fill_undecided(const struct drain *drain, struct audit_record *record)
{
	struct hook_mark mark;
	bool in_hook = hook_mark_read(&drain->memory->hook, &mark);

	record->verdict = in_hook ? VERDICT_FAULT : VERDICT_NONE;
	record->effective = record->requested;
	record->rewritten = 0;
	record->decision_ns = 0;
	snprintf(record->decider, sizeof(record->decider), "%s",
		 in_hook ? mark.plugin : "protocol");
	record->rule[0] = '\0';
	if (in_hook)
		snprintf(record->reason, sizeof(record->reason), "the engine ended in its hook %s",
			 hook_mark_name(mark.kind));
	else
		snprintf(record->reason, sizeof(record->reason),
			 "the engine ended before it was decided");
}

/* Nobody knows of what it waited for; that it ended is seen now. */
static void drain_fill_waiting(struct audit_record *record)
{
	uint64_t asked_ns = record->wall_ns;

	memset(&record->requested, 0, sizeof(record->requested));
	memset(&record->effective, 0, sizeof(record->effective));
	memset(&record->peer, 0, sizeof(record->peer));
	record->socket = 0;
	record->verdict = VERDICT_NONE;
	record->rewritten = 0;
	record->decision_ns = 0;
	record->wall_ns = clock_wall_ns();
	record->total_ns = record->wall_ns > asked_ns ? record->wall_ns - asked_ns : 0;
	snprintf(record->decider, sizeof(record->decider), "protocol");
	record->rule[0] = '\0';
	snprintf(record->reason, sizeof(record->reason), "the engine ended while it waited");
}

bool drain_leftover(struct drain *drain, uint32_t *cursor, struct audit_record *record)
{
	for (; *cursor < AUDIT_QUEUE_SLOTS; (*cursor)++) {
		drain_copy_once(drain, *cursor, record);
		if (record->state < AUDIT_SLOT_WAITING || record->state > AUDIT_SLOT_DONE)
			continue;
		if (record->state == AUDIT_SLOT_WAITING)
			drain_fill_waiting(record);
		if (record->state == AUDIT_SLOT_ASKED)
			drain_fill_undecided(drain, record);
		if (!drain_make_sound(record))
			drain_note_damage(drain, "a record has a value out of range");
		(*cursor)++;
		return true;
	}
	return false;
}

bool drain_busy(const struct drain *drain)
{
	for (uint32_t slot = 0; slot < AUDIT_QUEUE_SLOTS; slot++) {
		uint32_t state =
			__atomic_load_n(&drain->memory->record[slot].state, __ATOMIC_RELAXED);
		if (state >= AUDIT_SLOT_TAKEN && state <= AUDIT_SLOT_DECIDED)
			return true;
	}
	return false;
}

bool drain_sleep(struct drain *drain, bool timed)
{
	uint32_t state = timed ? QUEUE_WRITER_TIMED : QUEUE_WRITER_ASLEEP;
	__atomic_store_n(&drain->memory->writer_sleeps, state, __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	uint32_t ready = drain_ready(drain);
	return timed ? ready < AUDIT_QUEUE_WAKE_AT : ready == 0;
}

void drain_wake(struct drain *drain)
{
	__atomic_store_n(&drain->memory->writer_sleeps, QUEUE_WRITER_AWAKE, __ATOMIC_SEQ_CST);
}
