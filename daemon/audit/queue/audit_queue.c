/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine's end of the queue.
 *
 * Theory of operation. Which slots are free (a private stack; the slot used last is taken first,
 * while it is in the cache), which state each is in and in which order they were handed over is
 * known here only, so nothing that another process writes can make us use a slot twice, or take a
 * record for stored that is not. States and ring in the shared memory are for the writer, and are
 * read by no one but it. All that is read of the writer is how far it has come, once each time, and
 * a place where it can't be counts for none. The two sides agree on who wakes whom as in Dekker's
 * algorithm: each publishes its own step, then a full fence, then looks at the other's.
 *
 * Records that have no slot (audit_queue_take_kept()) are a list here, oldest first. As long as
 * there is one, slots that are done are held back in a line behind those that were done before
 * them, so that what is handed over is always in the order in which it happened. Held slots are
 * done as others are: who finds the engine dead stores them.
 */
#include "audit/queue/audit_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "audit/queue/queue_memory.h"
#include "base/assert.h"
#include "base/fd.h"

#define QUEUE_KEPT_SLOT AUDIT_QUEUE_SLOTS /* number of the kept record that is being written */

/* A record that waits for a slot. */
struct queue_kept {
	struct queue_kept *next;
	uint64_t held; /* slots that were held back before it */
	struct audit_record record;
};

struct audit_queue {
	struct queue_memory *memory;
	int writer_eventfd;
	int engine_eventfd;
	uint64_t done;    /* our own count; memory->done is only ever written */
	uint64_t flushed; /* done at the last flush */
	uint64_t reaped;  /* places whose slots came back */
	uint32_t free_count;
	uint32_t free[AUDIT_QUEUE_SLOTS];
	uint32_t order[AUDIT_QUEUE_SLOTS];    /* what we wrote to the ring; never read from there */
	uint8_t state[AUDIT_QUEUE_SLOTS + 1]; /* enum audit_slot_state; likewise */

	struct queue_kept *kept_first; /* done */
	struct queue_kept *kept_last;
	struct queue_kept *kept_open; /* being written; NULL: none */
	uint32_t kept_count;
	uint64_t held_first; /* slots that were held back and handed over, ever; ... */
	uint64_t held_end;   /* ... and those that were held back */
	uint32_t held[AUDIT_QUEUE_SLOTS];
};

static int queue_fill_memory(int memfd, const struct audit_identity *identity)
{
	if (ftruncate(memfd, (off_t)sizeof(struct queue_memory)) < 0 ||
	    fcntl(memfd, F_ADD_SEALS, QUEUE_SEALS | F_SEAL_SEAL) < 0)
		return -errno;
	struct queue_memory *memory = NULL;
	int error = queue_memory_map(&memory, memfd);
	if (!memory)
		return error;
	memory->magic = QUEUE_MAGIC;
	memory->version = QUEUE_VERSION;
	memory->slots = AUDIT_QUEUE_SLOTS;
	memory->identity = *identity;
	memory->writer_sleeps = QUEUE_WRITER_ASLEEP;
	queue_memory_unmap(memory);
	return 0;
}

int audit_queue_create(const struct audit_identity *identity)
{
	int memfd = memfd_create("pvcalls-audit", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (memfd < 0)
		return -errno;
	int error = queue_fill_memory(memfd, identity);
	if (error == 0)
		return memfd;
	fd_close(&memfd);
	return error;
}

int audit_queue_identity(int memfd, struct audit_identity *identity)
{
	struct queue_memory *memory = NULL;
	int error = queue_memory_map(&memory, memfd);
	if (error < 0)
		return error;
	*identity = memory->identity;
	queue_memory_unmap(memory);
	return 0;
}

static bool queue_is_new(const struct queue_memory *memory)
{
	/* A queue serves one engine, from its first record on. */
	return queue_memory_is_known(memory) && memory->done == 0 && memory->stored == 0;
}

int audit_queue_open(struct audit_queue **queue, int memfd, int writer_eventfd, int engine_eventfd)
{
	struct audit_queue *made = calloc(1, sizeof(*made));
	if (!made)
		return -ENOMEM;
	int error = queue_memory_map(&made->memory, memfd);
	if (made->memory && !queue_is_new(made->memory))
		error = -EPROTO;
	if (error < 0) {
		audit_queue_close(made);
		return error;
	}

	made->writer_eventfd = writer_eventfd;
	made->engine_eventfd = engine_eventfd;
	made->free_count = AUDIT_QUEUE_SLOTS;
	for (uint32_t i = 0; i < AUDIT_QUEUE_SLOTS; i++)
		made->free[i] = AUDIT_QUEUE_SLOTS - 1 - i;
	*queue = made;
	return 0;
}

void audit_queue_close(struct audit_queue *queue)
{
	if (!queue)
		return;
	while (queue->kept_first) {
		struct queue_kept *kept = queue->kept_first;
		queue->kept_first = kept->next;
		free(kept);
	}
	free(queue->kept_open);
	queue_memory_unmap(queue->memory);
	free(queue);
}

struct audit_record *audit_queue_record(struct audit_queue *queue, uint32_t slot)
{
	ASSERT(slot < AUDIT_QUEUE_SLOTS || (slot == QUEUE_KEPT_SLOT && queue->kept_open));
	return slot == QUEUE_KEPT_SLOT ? &queue->kept_open->record : &queue->memory->record[slot];
}

static void queue_set_state(struct audit_queue *queue, uint32_t slot, enum audit_slot_state from,
			    enum audit_slot_state state)
{
	struct audit_record *record = audit_queue_record(queue, slot);
	ASSERT(queue->state[slot] == from);
	queue->state[slot] = (uint8_t)state;
	/* Release: whoever sees the state sees what was written to the slot before it. */
	__atomic_store_n(&record->state, (uint32_t)state, __ATOMIC_RELEASE);
}

static struct audit_record *queue_take_slot(struct audit_queue *queue, uint32_t *slot)
{
	ASSERT(queue->free_count > 0);
	*slot = queue->free[--queue->free_count];
	struct audit_record *record = audit_queue_record(queue, *slot);
	memset(record, 0, sizeof(*record));
	queue_set_state(queue, *slot, AUDIT_SLOT_FREE, AUDIT_SLOT_TAKEN);
	return record;
}

bool audit_queue_has_room(const struct audit_queue *queue)
{
	return queue->free_count > 0 && !queue->kept_first;
}

struct audit_record *audit_queue_take(struct audit_queue *queue, uint32_t *slot)
{
	return audit_queue_has_room(queue) ? queue_take_slot(queue, slot) : NULL;
}

struct audit_record *audit_queue_take_kept(struct audit_queue *queue, uint32_t *slot)
{
	ASSERT(!queue->kept_open);
	if (audit_queue_has_room(queue))
		return queue_take_slot(queue, slot);
	queue->kept_open = calloc(1, sizeof(*queue->kept_open));
	if (!queue->kept_open)
		return NULL;
	*slot = QUEUE_KEPT_SLOT;
	queue_set_state(queue, *slot, AUDIT_SLOT_FREE, AUDIT_SLOT_TAKEN);
	return &queue->kept_open->record;
}

/* The record that is being written is done, and the last of those that wait. */
static void queue_keep(struct audit_queue *queue)
{
	struct queue_kept *kept = queue->kept_open;
	queue->state[QUEUE_KEPT_SLOT] = AUDIT_SLOT_FREE;
	queue->kept_open = NULL;
	kept->held = queue->held_end;
	if (queue->kept_first)
		queue->kept_last->next = kept;
	else
		queue->kept_first = kept;
	queue->kept_last = kept;
	queue->kept_count++;
}

/* The next place of the ring is this slot's, which is done. */
static void queue_hand_over(struct audit_queue *queue, uint32_t slot)
{
	ASSERT(queue->state[slot] == AUDIT_SLOT_DONE);
	queue->order[queue->done & QUEUE_MASK] = slot;
	queue->memory->ring[queue->done & QUEUE_MASK] = slot;
	queue->done++;
	__atomic_store_n(&queue->memory->done, queue->done, __ATOMIC_RELEASE);
}

static void queue_hand_over_kept(struct audit_queue *queue)
{
	struct queue_kept *kept = queue->kept_first;
	uint32_t slot = 0;
	struct audit_record *record = queue_take_slot(queue, &slot);
	/* Done when all of it is there, and not before. */
	kept->record.state = AUDIT_SLOT_TAKEN;
	*record = kept->record;
	queue_set_state(queue, slot, AUDIT_SLOT_TAKEN, AUDIT_SLOT_DONE);
	queue_hand_over(queue, slot);
	queue->kept_first = kept->next;
	queue->kept_count--;
	free(kept);
}

/* Hands over what is kept, as far as there are slots, and what was held back behind it. */
static void queue_go_on(struct audit_queue *queue)
{
	while (queue->kept_first || queue->held_first != queue->held_end) {
		if (queue->held_first != queue->held_end &&
		    (!queue->kept_first || queue->kept_first->held > queue->held_first))
			queue_hand_over(queue, queue->held[queue->held_first++ & QUEUE_MASK]);
		else if (queue->free_count > 0)
			queue_hand_over_kept(queue);
		else
			return;
	}
}

static void queue_give_back(struct audit_queue *queue, uint32_t slot)
{
	ASSERT(queue->free_count < AUDIT_QUEUE_SLOTS);
	queue->free[queue->free_count++] = slot;
}

void audit_queue_untake(struct audit_queue *queue, uint32_t slot)
{
	ASSERT(slot != QUEUE_KEPT_SLOT);
	queue_set_state(queue, slot, AUDIT_SLOT_TAKEN, AUDIT_SLOT_FREE);
	queue_give_back(queue, slot);
	queue_go_on(queue);
}

void audit_queue_waits(struct audit_queue *queue, uint32_t slot)
{
	queue_set_state(queue, slot, AUDIT_SLOT_TAKEN, AUDIT_SLOT_WAITING);
}

bool audit_queue_is_waiting(const struct audit_queue *queue, uint32_t slot)
{
	ASSERT(slot <= QUEUE_KEPT_SLOT);
	return queue->state[slot] == AUDIT_SLOT_WAITING;
}

void audit_queue_asked(struct audit_queue *queue, uint32_t slot)
{
	bool waited = audit_queue_is_waiting(queue, slot);

	queue_set_state(queue, slot, waited ? AUDIT_SLOT_WAITING : AUDIT_SLOT_TAKEN,
			AUDIT_SLOT_ASKED);
}

void audit_queue_decided(struct audit_queue *queue, uint32_t slot)
{
	enum audit_slot_state from = AUDIT_SLOT_TAKEN;

	ASSERT(slot <= QUEUE_KEPT_SLOT);
	if (queue->state[slot] == AUDIT_SLOT_WAITING || queue->state[slot] == AUDIT_SLOT_ASKED)
		from = (enum audit_slot_state)queue->state[slot];
	queue_set_state(queue, slot, from, AUDIT_SLOT_DECIDED);
}

void audit_queue_undecided(struct audit_queue *queue, uint32_t slot)
{
	queue_set_state(queue, slot, AUDIT_SLOT_DECIDED, AUDIT_SLOT_ASKED);
	/* As the first half of a seqlock: nothing written to the slot after this may be seen before
	 * the state is. */
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

void audit_queue_done(struct audit_queue *queue, uint32_t slot)
{
	queue_set_state(queue, slot, AUDIT_SLOT_DECIDED, AUDIT_SLOT_DONE);
	if (slot == QUEUE_KEPT_SLOT)
		queue_keep(queue);
	else if (queue->kept_first)
		queue->held[queue->held_end++ & QUEUE_MASK] = slot;
	else
		queue_hand_over(queue, slot);
}

/* How far the writer has come: never behind what was reaped, nor beyond what was handed over. */
static uint64_t queue_read_stored(const struct audit_queue *queue)
{
	uint64_t stored = __atomic_load_n(&queue->memory->stored, __ATOMIC_ACQUIRE);
	ASSERT(queue->reaped <= queue->done);
	return stored >= queue->reaped && stored <= queue->done ? stored : queue->reaped;
}

static void queue_wake_writer(struct audit_queue *queue)
{
	uint32_t was = __atomic_exchange_n(&queue->memory->writer_sleeps, QUEUE_WRITER_AWAKE,
					   __ATOMIC_SEQ_CST);
	/* Can only fail when the counter is full, and then the writer is being woken already. */
	if (was != QUEUE_WRITER_AWAKE)
		(void)eventfd_write(queue->writer_eventfd, 1);
}

void audit_queue_flush(struct audit_queue *queue, bool now)
{
	if (queue->done == queue->flushed)
		return;
	queue->flushed = queue->done;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	uint32_t writer = __atomic_load_n(&queue->memory->writer_sleeps, __ATOMIC_RELAXED);
	if (writer == QUEUE_WRITER_AWAKE)
		return;
	uint64_t waiting = queue->done - queue_read_stored(queue);
	if (writer == QUEUE_WRITER_ASLEEP || now || waiting >= AUDIT_QUEUE_WAKE_AT)
		queue_wake_writer(queue);
}

uint32_t audit_queue_reap(struct audit_queue *queue, void (*stored)(void *owner, uint32_t slot),
			  void *owner)
{
	uint64_t end = queue_read_stored(queue);
	uint32_t count = (uint32_t)(end - queue->reaped);
	while (queue->reaped < end) {
		uint32_t slot = queue->order[queue->reaped & QUEUE_MASK];
		queue->reaped++;
		ASSERT(queue->state[slot] == AUDIT_SLOT_DONE);
		queue->state[slot] = AUDIT_SLOT_FREE;
		if (stored)
			stored(owner, slot);
		queue_give_back(queue, slot);
	}
	queue_go_on(queue);
	return count;
}

void audit_queue_await(struct audit_queue *queue)
{
	__atomic_store_n(&queue->memory->engine_waits, 1, __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	uint64_t stored = queue_read_stored(queue);
	/* The commit came before the wish to be told of it: tell ourselves. */
	if (stored != queue->reaped)
		(void)eventfd_write(queue->engine_eventfd, 1);
	if (stored != queue->done)
		queue_wake_writer(queue);
}

uint32_t audit_queue_used(const struct audit_queue *queue)
{
	return AUDIT_QUEUE_SLOTS - queue->free_count;
}

uint32_t audit_queue_kept(const struct audit_queue *queue)
{
	return queue->kept_count;
}

struct hook_mark *audit_queue_hook(struct audit_queue *queue)
{
	return &queue->memory->hook;
}

bool audit_queue_ended_in_hook(int memfd, struct hook_mark *mark)
{
	struct queue_memory *memory = NULL;
	bool running;

	if (queue_memory_map(&memory, memfd) < 0)
		return false;
	running = hook_mark_read(&memory->hook, mark);
	queue_memory_unmap(memory);
	return running;
}
