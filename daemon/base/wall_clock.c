/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/wall_clock.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"

#define WALL_CLOCK_SAMPLES 16

/* The one of the closest readings: between those of a pair others may have run. */
static uint64_t wall_clock_measure(void)
{
	uint64_t least_ns = UINT64_MAX;
	uint64_t offset_ns = 0;
	int i;

	for (i = 0; i < WALL_CLOCK_SAMPLES; i++) {
		uint64_t before_ns = clock_monotonic_ns();
		uint64_t wall_ns = clock_wall_ns();
		uint64_t took_ns = clock_monotonic_ns() - before_ns;

		if (took_ns >= least_ns)
			continue;
		least_ns = took_ns;
		offset_ns = wall_ns - (before_ns + took_ns / 2);
	}
	return offset_ns;
}

static void wall_clock_was_set(struct loop_source *source, uint32_t events)
{
	struct wall_clock *clock = source->owner;
	uint64_t expired;

	(void)events;
	/* ECANCELED, after which the timer waits for the next time. Whatever it is, it costs no
	 * more than a measurement. */
	if (read(source->fd, &expired, sizeof(expired)) < 0 && errno == EAGAIN)
		return;
	clock->offset_ns = wall_clock_measure();
}

int wall_clock_open(struct wall_clock *clock, struct loop *loop)
{
	/* Further than any clock goes. */
	const struct itimerspec never = {.it_value.tv_sec = INT64_MAX};
	int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	int error = 0;

	ASSERT(!clock->loop);
	if (fd < 0)
		return -errno;
	if (timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL) < 0)
		error = -errno;
	if (!error)
		error = loop_add(loop, &clock->set, fd, EPOLLIN, wall_clock_was_set, clock);
	if (error) {
		close(fd);
		return error;
	}
	clock->loop = loop;
	ticks_measure(&clock->scale);
	clock->offset_ns = wall_clock_measure();
	return 0;
}

void wall_clock_close(struct wall_clock *clock)
{
	if (!clock->loop)
		return;
	loop_remove(clock->loop, &clock->set);
	close(clock->set.fd);
	clock->loop = NULL;
}

uint64_t wall_clock_now_ns(struct wall_clock *clock)
{
	uint64_t ticks = ticks_now();

	ASSERT(clock->loop);
	if (loop_now_ns(clock->loop) > clock->read_ns) {
		clock->read_ns = loop_now_ns(clock->loop);
		clock->read_ticks = loop_now_ticks(clock->loop);
	}
	if (ticks_span_ns(&clock->scale, clock->read_ticks, ticks) > WALL_CLOCK_AGE_NS) {
		clock->read_ticks = ticks;
		clock->read_ns = clock_monotonic_ns();
	}
	return clock->offset_ns + clock->read_ns;
}
