/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/ticks.h"

#include "base/assert.h"
#include "base/clock.h"

#define TICKS_MEASURE_NS (100 * NS_PER_US)
#define TICKS_SPAN_MAX   (2 * NS_PER_S)

void ticks_measure(struct ticks_scale *scale)
{
	uint64_t began_ns = clock_monotonic_ns();
	uint64_t began = ticks_now();
	uint64_t ended_ns;
	uint64_t ended;

	do {
		ended_ns = clock_monotonic_ns();
		ended = ticks_now();
	} while (ended_ns - began_ns < TICKS_MEASURE_NS);
	/* A counter that did not count, or ran backwards: spans are none then. */
	scale->ns_per_tick_q32 = 0;
	if (ended > began && ended_ns - began_ns < TICKS_SPAN_MAX)
		scale->ns_per_tick_q32 = ((ended_ns - began_ns) << 32) / (ended - began);
}

uint64_t ticks_span_ns(const struct ticks_scale *scale, uint64_t from, uint64_t to)
{
	uint64_t ticks = to - from;
	uint64_t most;

	if (!scale->ns_per_tick_q32 || to < from)
		return 0;
	most = UINT64_MAX / scale->ns_per_tick_q32;
	ASSERT(most > 0);
	if (ticks > most)
		return TICKS_SPAN_MAX;
	ticks = ticks * scale->ns_per_tick_q32 >> 32;
	return ticks < TICKS_SPAN_MAX ? ticks : TICKS_SPAN_MAX;
}
