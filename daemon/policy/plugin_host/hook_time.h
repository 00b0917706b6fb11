/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The time that hooks take.
 *
 * Theory of operation. Each hook lies between two readings of the monotonic clock, which cost 20 ns
 * each. Over PVCALLS_HOOK_FAULT_NS is a fault, unless it was the scheduler that took the time: when
 * the thread used less processor time than that and did not go to sleep, but was preempted, the
 * plugin is not to blame. To tell, the thread's usage is looked at when a decision begins, and
 * again only after an overrun. Since that is a system call, a look counts for 4 ms, unless the
 * thread has slept meanwhile; of the processor time since then, what may have been used before the
 * hook is taken off.
 *
 * A hypervisor takes the processor away, too, and many kernels count that time as the thread's. So
 * a plugin that overran by processor time is blamed if it does so twice in a row: then it is slow
 * each time, while a hypervisor would have to hit the same few microseconds twice.
 */
#ifndef POLICY_PLUGIN_HOST_HOOK_TIME_H
#define POLICY_PLUGIN_HOST_HOOK_TIME_H

#include <stdint.h>

/* How a hook was for time. */
enum hook_time {
	HOOK_FINE,
	/* over PVCALLS_HOOK_SLOW_NS, or preempted */
	HOOK_SLOW,
	/* over PVCALLS_HOOK_FAULT_NS, by the processor time of the thread */
	HOOK_LATE,
	/* over PVCALLS_HOOK_FAULT_NS, asleep */
	HOOK_FAULT,
};

/* Zeroed means: never looked. */
struct hook_watch {
	uint64_t now_ns;   /* end of the last hook, begin of the next */
	uint64_t usage_ns; /* when the usage was looked at; 0: not since the last sleep */
	uint64_t cpu_ns;   /* processor time of the thread then */
	long sleeps;       /* voluntary switches then */
};

/* The thread sleeps now, or may: what is known of its usage counts no more. */
void hook_watch_slept(struct hook_watch *watch);
/* Begins a row of hooks. */
void hook_watch_begin(struct hook_watch *watch);
/* Ends a hook; the next one begins at once. *took_ns is what the clock says. */
enum hook_time hook_watch_end(struct hook_watch *watch, uint64_t *took_ns);

#endif
