/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/look.h"

#include <sched.h>

#include "base/clock.h"
#include "engine/limits.h"

#define SAMPLES       16
#define LOOK_CALLS    40 /* what a sleep costs us and the guest, in system calls */
#define SLICE_CALLS   10 /* memory is looked at for longer than the calls in between */
#define FIRST_PART    4  /* the first look is this part of the longest */
#define LOOK_PAUSE_NS (10 * NS_PER_MS) /* no look for so long when the processor is wanted */

void look_calibrate(struct look *look)
{
	uint64_t least = UINT64_MAX;
	int i;

	/* The least: others may have run meanwhile. */
	for (i = 0; i < SAMPLES; i++) {
		uint64_t before = clock_monotonic_ns();
		uint64_t took;

		sched_yield();
		took = clock_monotonic_ns() - before;
		if (took < least)
			least = took;
	}
	look->slice_ns = SLICE_CALLS * least;
	look->max_ns = LOOK_CALLS * least;
	if (look->max_ns < ENGINE_LOOK_NS_MIN)
		look->max_ns = ENGINE_LOOK_NS_MIN;
	if (look->max_ns > ENGINE_LOOK_NS_MAX)
		look->max_ns = ENGINE_LOOK_NS_MAX;
}

void look_begin(struct look *look)
{
	look->deadline_ns = clock_monotonic_ns() + look->ns;
}

bool look_on(const struct look *look)
{
	return look->ns && clock_monotonic_ns() < look->deadline_ns;
}

uint64_t look_slice(const struct look *look)
{
	uint64_t until = clock_monotonic_ns() + look->slice_ns;

	return until < look->deadline_ns ? until : look->deadline_ns;
}

void look_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

void look_end(struct look *look, bool found)
{
	if (found)
		look->ns = look->ns * 2 < look->max_ns ? look->ns * 2 : look->max_ns;
	else
		look->ns = look->ns > look->max_ns / FIRST_PART / 2 ? look->ns / 2 : 0;
}

void look_give_way(struct look *look)
{
	uint64_t before = clock_monotonic_ns();
	uint64_t now;

	sched_yield();
	now = clock_monotonic_ns();
	if (now - before < look->max_ns)
		return;
	look->ns = 0;
	look->again_ns = now + LOOK_PAUSE_NS;
}

void look_after_sleep(struct look *look, uint64_t slept_ns)
{
	uint64_t now = clock_monotonic_ns();

	if (!look->ns && now - slept_ns < look->max_ns && now > look->again_ns)
		look->ns = look->max_ns / FIRST_PART;
}
