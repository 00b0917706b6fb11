/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The only ways in which shared pages are read and written. Each access happens exactly once: the
 * compiler may not repeat, split or drop it.
 */
#ifndef RING_SHARED_H
#define RING_SHARED_H

#include <stddef.h>
#include <stdint.h>

/* One load; what the guest wrote before it stored this value is seen after it. */
static inline uint32_t shared_load(const uint32_t *from)
{
	return __atomic_load_n(from, __ATOMIC_ACQUIRE);
}

/* One store; the guest sees everything written before it first. */
static inline void shared_store(uint32_t *to, uint32_t value)
{
	__atomic_store_n(to, value, __ATOMIC_RELEASE);
}

/* Stores before it are visible before loads after it happen: publish, then see whether it sleeps.
 */
static inline void shared_fence(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Copies bytes (a multiple of 8, both ends aligned to 8) with one access per 8 bytes. */
static inline void shared_copy(void *to, const void *from, size_t bytes)
{
	const volatile uint64_t *source = (const volatile uint64_t *)from;
	volatile uint64_t *target = (volatile uint64_t *)to;
	size_t i;

	for (i = 0; i < bytes / sizeof(uint64_t); i++)
		target[i] = source[i];
}

#endif
