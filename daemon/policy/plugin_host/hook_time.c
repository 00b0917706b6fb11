/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/plugin_host/hook_time.h"

#include <stddef.h>
#include <sys/resource.h>
#include <sys/time.h>

#include <pvcalls/plugin.h>

#include "base/assert.h"
#include "base/clock.h"

#define HOOK_USAGE_AGE_NS (4 * NS_PER_MS)

static uint64_t usage_cpu_ns(const struct rusage *usage)
{
	return (uint64_t)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * NS_PER_S +
	       (uint64_t)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) * NS_PER_US;
}

static void hook_watch_read_usage(struct hook_watch *watch)
{
	struct rusage usage;

	watch->usage_ns = watch->now_ns;
	if (getrusage(RUSAGE_THREAD, &usage))
		return;
	watch->cpu_ns = usage_cpu_ns(&usage);
	watch->sleeps = usage.ru_nvcsw;
}

void hook_watch_slept(struct hook_watch *watch)
{
	watch->usage_ns = 0;
}

void hook_watch_begin(struct hook_watch *watch)
{
	watch->now_ns = clock_monotonic_ns();
	if (watch->now_ns - watch->usage_ns > HOOK_USAGE_AGE_NS)
		hook_watch_read_usage(watch);
}

/* Of a hook that began at this time and overran; what ran before it may have used all the time. */
static enum hook_time hook_watch_judge(const struct hook_watch *watch, uint64_t began_ns)
{
	uint64_t allowed_ns = PVCALLS_HOOK_FAULT_NS + (began_ns - watch->usage_ns);
	struct rusage usage;

	if (getrusage(RUSAGE_THREAD, &usage) || usage.ru_nvcsw != watch->sleeps)
		return HOOK_FAULT;
	return usage_cpu_ns(&usage) - watch->cpu_ns < allowed_ns ? HOOK_SLOW : HOOK_LATE;
}

enum hook_time hook_watch_end(struct hook_watch *watch, uint64_t *took_ns)
{
	uint64_t began_ns = watch->now_ns;
	uint64_t now_ns = clock_monotonic_ns();

	ASSERT(began_ns); /* hook_watch_begin() comes first */
	*took_ns = now_ns - began_ns;
	watch->now_ns = now_ns;
	if (*took_ns <= PVCALLS_HOOK_SLOW_NS)
		return HOOK_FINE;
	if (*took_ns <= PVCALLS_HOOK_FAULT_NS)
		return HOOK_SLOW;
	return hook_watch_judge(watch, began_ns);
}
