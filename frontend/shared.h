/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The only ways in which shared pages' indexes are read and written: each access exactly once. */
#ifndef FRONTEND_SHARED_H
#define FRONTEND_SHARED_H

#include <stdint.h>

/* One load; what the backend wrote before it stored this value is seen after it. */
static inline uint32_t front_load(const uint32_t *from)
{
	return __atomic_load_n(from, __ATOMIC_ACQUIRE);
}

/* One store; the backend sees everything written before it first. */
/* NOLINTNEXTLINE(readability-non-const-parameter): clang-tidy does not see the builtin write */
static inline void front_store(uint32_t *to, uint32_t value)
{
	__atomic_store_n(to, value, __ATOMIC_RELEASE);
}

/* Stores before it are visible before loads after it: "publish, then look whether it sleeps". */
static inline void front_fence(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

#endif
