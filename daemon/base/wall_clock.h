/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The time of day for what happens in a loop, without a reading of the clock for it.
 *
 * Theory of operation. The kernel slews CLOCK_REALTIME and CLOCK_MONOTONIC alike, so that one is
 * the other plus an offset, which changes only when the clock is set, for a leap second, and while
 * the machine sleeps. Of all three a timer tells that is cancelled by them (TFD_TIMER_CANCEL_ON_SET
 * in timerfd_create(2)): an event of the loop, after which the offset is measured anew. So what the
 * loop has read when it woke (loop_now_ns()) serves for the time of day as well. A turn may last,
 * and the thread may lose the processor in it: by the processor's counter (base/ticks.h) a reading
 * that is older than WALL_CLOCK_AGE_NS is replaced by another.
 *
 * What the counter says decides only whether to read. If it is wrong, because the thread has gone
 * to a processor whose counter is not in step, the clock is read once too often, or the time is
 * that of the turn's begin.
 */
#ifndef BASE_WALL_CLOCK_H
#define BASE_WALL_CLOCK_H

#include <stdint.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/ticks.h"

#define WALL_CLOCK_AGE_NS NS_PER_MS /* so old a reading may be */

/* Zeroed, then wall_clock_open(). Times are in nanoseconds. */
struct wall_clock {
	struct loop *loop;
	struct loop_source set; /* the timer that is cancelled when the clock is set */
	struct ticks_scale scale;
	uint64_t offset_ns;  /* of CLOCK_REALTIME before CLOCK_MONOTONIC */
	uint64_t read_ns;    /* the reading in use, of CLOCK_MONOTONIC, ... */
	uint64_t read_ticks; /* ... and the counter then */
};

/* Begins to follow the clock in this loop, which takes 100 us. Returns 0 or -errno. */
int wall_clock_open(struct wall_clock *clock, struct loop *loop);
/* Before the loop is destroyed; nothing for one that was not opened. */
void wall_clock_close(struct wall_clock *clock);

/*
 * The time now: UTC, since 1970, at most WALL_CLOCK_AGE_NS old. It does not go back unless the
 * clock was set.
 */
uint64_t wall_clock_now_ns(struct wall_clock *clock);

#endif
