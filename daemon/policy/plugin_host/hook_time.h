/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The time that hooks take.
 *
 * Theory of operation. Each hook lies between two values of the processor's counter (base/ticks.h),
 * so measuring it costs no reading of the clock. Over PVCALLS_HOOK_FAULT_NS is a fault, unless it
 * was the scheduler that took the time: when the thread used less processor time than that and did
 * not go to sleep, but was preempted, the plugin is not to blame; nor is it where the thread moved
 * to a processor with another counter. To tell, the thread's usage is read when a decision begins,
 * and again only after an overrun. Since that is a system call, a reading is good for 4 ms, unless
 * the thread has slept meanwhile; of the processor time since then, what may have been used before
 * the hook is taken off.
 *
 * A hypervisor takes the processor away, too, and many kernels count that time as the thread's. So
 * a plugin that overran by processor time is blamed if it does so twice in a row: then it is slow
 * each time, while a hypervisor would have to hit the same few microseconds twice. So is one that
 * may have slept, when a call of the engine's own may have been what slept.
 */
#ifndef POLICY_PLUGIN_HOST_HOOK_TIME_H
#define POLICY_PLUGIN_HOST_HOOK_TIME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ticks.h"

/* How a hook was for time. */
enum hook_time {
	HOOK_FINE,
	/* over PVCALLS_HOOK_SLOW_NS, or preempted */
	HOOK_SLOW,
	/* over PVCALLS_HOOK_FAULT_NS, by the processor time of the thread, or perhaps asleep */
	HOOK_LATE,
	/* over PVCALLS_HOOK_FAULT_NS, asleep */
	HOOK_FAULT,
};

/* Zeroed, then hook_watch_init(). */
struct hook_watch {
	struct ticks_scale scale;
	uint64_t ticks;       /* end of the last hook, begin of the next; 0: not begun */
	uint64_t usage_ticks; /* when the usage was read; 0: not since the last sleep */
	uint64_t cpu_ns;      /* processor time of the thread then */
	long sleeps;          /* voluntary switches then */
	bool may_have_slept;  /* since then, in a call of our own */
};

/* Measures the counter, which takes 100 us. */
void hook_watch_init(struct hook_watch *watch);
/* The thread slept: its usage is read anew when the next decision begins. */
void hook_watch_slept(struct hook_watch *watch);
/* The thread made a call that may have slept, too short a time to read the usage anew. */
void hook_watch_may_have_slept(struct hook_watch *watch);
/* Begins a row of hooks. */
void hook_watch_begin(struct hook_watch *watch);
/* Ends a hook; the next one begins at once. *took_ns is how long it took by the counter. */
enum hook_time hook_watch_end(struct hook_watch *watch, uint64_t *took_ns);

#endif
