/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The queue's shared memory, byte by byte: private to audit_queue.c and drain.c. */
#ifndef AUDIT_QUEUE_MEMORY_H
#define AUDIT_QUEUE_MEMORY_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>

#include "audit/queue/audit_queue.h"
#include "call/hook_mark.h"

#define QUEUE_MAGIC   0x7571612d6c637670ull /* "pvcl-aqu" */
#define QUEUE_VERSION 3u
#define QUEUE_SEALS   (F_SEAL_SHRINK | F_SEAL_GROW) /* of the memfd, while it is in use */
#define QUEUE_LINE    64 /* bytes of a cache line: each side writes lines of its own */

/* What the writer is doing; the engine wakes it accordingly. */
enum queue_writer {
	/* Looks by itself before it sleeps: never wake it. */
	QUEUE_WRITER_AWAKE,
	/* Looks within milliseconds: wake it at AUDIT_QUEUE_WAKE_AT, or if asked. */
	QUEUE_WRITER_TIMED,
	/* Looks no more by itself: wake it. */
	QUEUE_WRITER_ASLEEP,
};

/*
 * `ring` holds slot numbers in the order they became done; place n of it is ring[n % slots]. Slots
 * before `stored` are free again, those from `stored` to `done` wait for the writer.
 */
struct queue_memory {
	/* Written once, before anybody else has the memory. */
	uint64_t magic;
	uint32_t version;
	uint32_t slots;
	struct audit_identity identity;

	/* The engine's. */
	_Alignas(QUEUE_LINE) uint64_t done; /* places filled, ever */
	uint32_t engine_waits; /* 1: wake the engine at the next commit; reset by the writer */
	_Alignas(QUEUE_LINE) struct hook_mark hook; /* see audit_queue_hook() */

	/* The writer's. */
	_Alignas(QUEUE_LINE) uint64_t stored; /* places committed, ever */
	uint32_t writer_sleeps;               /* enum queue_writer; set to AWAKE by who wakes it */

	/* The engine's, but for the states of slots that the writer has freed. */
	_Alignas(QUEUE_LINE) uint32_t ring[AUDIT_QUEUE_SLOTS];
	_Alignas(QUEUE_LINE) struct audit_record record[AUDIT_QUEUE_SLOTS];
};

#define QUEUE_MASK (AUDIT_QUEUE_SLOTS - 1u)
_Static_assert((AUDIT_QUEUE_SLOTS & QUEUE_MASK) == 0, "a power of two");

/* Maps the memory of a queue after checking size and seals. Returns 0 and *memory, or -errno. */
int queue_memory_map(struct queue_memory **memory, int memfd);
/* Whether it was filled by a program of this version. */
bool queue_memory_is_known(const struct queue_memory *memory);
/* Undoes queue_memory_map(). NULL is left alone. */
void queue_memory_unmap(struct queue_memory *memory);

#endif
