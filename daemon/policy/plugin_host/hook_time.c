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

void hook_watch_init(struct hook_watch *watch)
{
	ticks_measure(&watch->scale);
}

static void hook_watch_read_usage(struct hook_watch *watch)
{
	struct rusage usage;

	watch->usage_ticks = watch->ticks;
	watch->may_have_slept = false;
	if (getrusage(RUSAGE_THREAD, &usage))
		return;
	watch->cpu_ns = usage_cpu_ns(&usage);
	watch->sleeps = usage.ru_nvcsw;
}

void hook_watch_slept(struct hook_watch *watch)
{
	watch->usage_ticks = 0;
}

void hook_watch_may_have_slept(struct hook_watch *watch)
{
	watch->may_have_slept = true;
}

void hook_watch_begin(struct hook_watch *watch)
{
	watch->ticks = ticks_now();
	if (!watch->usage_ticks ||
	    ticks_span_ns(&watch->scale, watch->usage_ticks, watch->ticks) > HOOK_USAGE_AGE_NS)
		hook_watch_read_usage(watch);
}

/* Of a hook that began then and overran; what ran before it may have used all the time. */
static enum hook_time hook_watch_judge(const struct hook_watch *watch, uint64_t began)
{
	uint64_t allowed_ns =
		PVCALLS_HOOK_FAULT_NS + ticks_span_ns(&watch->scale, watch->usage_ticks, began);
	struct rusage usage;

	if (getrusage(RUSAGE_THREAD, &usage))
		return HOOK_FAULT;
	if (usage.ru_nvcsw != watch->sleeps)
		return watch->may_have_slept ? HOOK_LATE : HOOK_FAULT;
	return usage_cpu_ns(&usage) - watch->cpu_ns < allowed_ns ? HOOK_SLOW : HOOK_LATE;
}

enum hook_time hook_watch_end(struct hook_watch *watch, uint64_t *took_ns)
{
	uint64_t began = watch->ticks;

	ASSERT(began); /* hook_watch_begin() comes first */
	watch->ticks = ticks_now();
	*took_ns = ticks_span_ns(&watch->scale, began, watch->ticks);
	if (*took_ns <= PVCALLS_HOOK_SLOW_NS)
		return HOOK_FINE;
	if (*took_ns <= PVCALLS_HOOK_FAULT_NS)
		return HOOK_SLOW;
	return hook_watch_judge(watch, began);
}
