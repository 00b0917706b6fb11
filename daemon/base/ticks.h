/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Short times by the processor's counter, where a reading of the clock for each would cost too
 * much: in a domain of Xen whose processors' counters are not in step it is a system call.
 *
 * Theory of operation. The counter (TSC on x86, CNTVCT on ARM) is read by one instruction, and its
 * rate is measured once against the monotonic clock. It is good for spans of at most some
 * milliseconds within one thread. When the thread moves to a processor whose counter is not in step
 * a span comes out wrong: one that seems to be negative counts as none, one that is too long must
 * be judged by the clock before anybody is blamed for it.
 */
#ifndef BASE_TICKS_H
#define BASE_TICKS_H

#include <stdint.h>

#if !defined(__x86_64__) && !defined(__i386__) && !defined(__aarch64__)
#include "base/clock.h"
#endif

/* How long a tick is. Zeroed, then ticks_measure(). */
struct ticks_scale {
	uint64_t ns_per_tick_q32; /* nanoseconds of a tick, times 2 to the 32nd */
};

/* The counter now. */
static inline uint64_t ticks_now(void)
{
#if defined(__x86_64__) || defined(__i386__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	uint64_t value;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(value));
	return value;
#else
	return clock_monotonic_ns();
#endif
}

/* Measures the counter against the clock, which takes 100 us. */
void ticks_measure(struct ticks_scale *scale);
/* Nanoseconds from one value of the counter to a later one; at most 2 s. 0 if it is not later. */
uint64_t ticks_span_ns(const struct ticks_scale *scale, uint64_t from, uint64_t to);

#endif
