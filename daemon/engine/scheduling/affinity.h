/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Running on the processor where the guest runs.
 *
 * Bytes that one processor has just written are slow to read on another, so a guest and its engine
 * that hand many bytes to each other do better on the same one, in turns, than side by side. The
 * scheduler can't know; it only sees two programs that are busy. So now and then, by bytes moved,
 * an engine goes to where its guest says it runs. It does not stay bound to it: if the processor is
 * wanted, the scheduler moves it away as ever.
 */
#ifndef ENGINE_SCHEDULING_AFFINITY_H
#define ENGINE_SCHEDULING_AFFINITY_H

#include <sched.h>
#include <stdint.h>

#include "transport/transport.h"

#define AFFINITY_BYTES      (4u << 20)  /* moved between two looks: some ms of a busy stream */
#define AFFINITY_CALL_BYTES (64u << 10) /* what a call counts for: a request and an answer */

/* Zeroed, then affinity_init(). */
struct affinity {
	cpu_set_t allowed; /* processors on which the engine may run */
	uint64_t moved;    /* bytes moved so far at the last look */
};

/* Remembers where the engine may run; before the sandbox is closed. */
void affinity_init(struct affinity *affinity);
/*
 * Goes to the guest's processor, if many bytes have moved since the last look and it is another
 * one; `moved` are all bytes so far, calls included.
 */
void affinity_adjust(struct affinity *affinity, struct transport *transport, uint64_t moved);

#endif
