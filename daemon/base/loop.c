/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/ticks.h"

#define LOOP_BATCH 64

struct loop {
	int epoll;
	uint64_t now_ns; /* read once a turn */
	uint64_t now_ticks;
	struct epoll_event batch[LOOP_BATCH];
	int batch_count;          /* events of the batch being dispatched */
	int batch_next;           /* the first one not yet dispatched */
	struct loop_timer **heap; /* earliest deadline first */
	size_t heap_count;
	size_t heap_room;
};

static void loop_read_clock(struct loop *loop)
{
	loop->now_ticks = ticks_now();
	loop->now_ns = clock_monotonic_ns();
}

struct loop *loop_create(void)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return NULL;
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll < 0) {
		free(loop);
		return NULL;
	}
	loop_read_clock(loop);
	return loop;
}

uint64_t loop_now_ns(const struct loop *loop)
{
	return loop->now_ns;
}

uint64_t loop_now_ticks(const struct loop *loop)
{
	return loop->now_ticks;
}

void loop_destroy(struct loop *loop)
{
	if (!loop)
		return;
	close(loop->epoll);
	free(loop->heap);
	free(loop);
}

int loop_add(struct loop *loop, struct loop_source *source, int fd, uint32_t events,
	     loop_fd_fn dispatch, void *owner)
{
	struct epoll_event event = {.events = events, .data.ptr = source};

	if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	source->dispatch = dispatch;
	source->owner = owner;
	source->fd = fd;
	return 0;
}

int loop_modify(struct loop *loop, struct loop_source *source, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = source};

	ASSERT(source->dispatch);
	return epoll_ctl(loop->epoll, EPOLL_CTL_MOD, source->fd, &event) < 0 ? -errno : 0;
}

void loop_remove(struct loop *loop, struct loop_source *source)
{
	if (!source->dispatch)
		return;
	epoll_ctl(loop->epoll, EPOLL_CTL_DEL, source->fd, NULL);
	loop_forget(loop, source);
}

void loop_forget(struct loop *loop, struct loop_source *source)
{
	int i;

	source->dispatch = NULL;
	for (i = loop->batch_next; i < loop->batch_count; i++)
		if (loop->batch[i].data.ptr == source)
			loop->batch[i].data.ptr = NULL;
}

static void loop_heap_put(struct loop *loop, size_t at, struct loop_timer *timer)
{
	loop->heap[at] = timer;
	timer->heap_slot = at + 1;
}

static void loop_heap_up(struct loop *loop, size_t at)
{
	struct loop_timer *timer = loop->heap[at];

	while (at > 0 && loop->heap[(at - 1) / 2]->deadline_ns > timer->deadline_ns) {
		loop_heap_put(loop, at, loop->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	loop_heap_put(loop, at, timer);
}

static void loop_heap_down(struct loop *loop, size_t at)
{
	struct loop_timer *timer = loop->heap[at];

	for (;;) {
		size_t child = 2 * at + 1;

		if (child >= loop->heap_count)
			break;
		if (child + 1 < loop->heap_count &&
		    loop->heap[child + 1]->deadline_ns < loop->heap[child]->deadline_ns)
			child++;
		if (loop->heap[child]->deadline_ns >= timer->deadline_ns)
			break;
		loop_heap_put(loop, at, loop->heap[child]);
		at = child;
	}
	loop_heap_put(loop, at, timer);
}

static int loop_heap_grow(struct loop *loop)
{
	size_t room = loop->heap_room ? loop->heap_room * 2 : 64;
	struct loop_timer **heap;

	if (loop->heap_count < loop->heap_room)
		return 0;
	heap = reallocarray(loop->heap, room, sizeof(struct loop_timer *));
	if (!heap)
		return -ENOMEM;
	loop->heap = heap;
	loop->heap_room = room;
	return 0;
}

int loop_arm(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns,
	     loop_timer_fn expired, void *owner)
{
	int error;

	loop_disarm(loop, timer);
	error = loop_heap_grow(loop);
	if (error)
		return error;
	timer->expired = expired;
	timer->owner = owner;
	timer->deadline_ns = deadline_ns;
	loop->heap_count++;
	loop_heap_put(loop, loop->heap_count - 1, timer);
	loop_heap_up(loop, loop->heap_count - 1);
	return 0;
}

void loop_disarm(struct loop *loop, struct loop_timer *timer)
{
	size_t at = timer->heap_slot - 1;
	struct loop_timer *last;

	if (!timer->heap_slot)
		return;
	ASSERT(at < loop->heap_count && loop->heap[at] == timer);
	timer->heap_slot = 0;
	last = loop->heap[--loop->heap_count];
	if (last == timer)
		return;
	loop_heap_put(loop, at, last);
	loop_heap_up(loop, at);
	loop_heap_down(loop, last->heap_slot - 1);
}

/* Runs the timers that are due now; those armed meanwhile wait for the next turn. */
static int loop_run_timers(struct loop *loop)
{
	int calls = 0;

	while (loop->heap_count && loop->heap[0]->deadline_ns <= loop->now_ns) {
		struct loop_timer *timer = loop->heap[0];

		loop_disarm(loop, timer);
		timer->expired(timer);
		calls++;
	}
	return calls;
}

static int loop_wait(struct loop *loop, uint64_t timeout_ns)
{
	struct timespec wait;

	if (loop->heap_count) {
		uint64_t due = loop->heap[0]->deadline_ns;
		uint64_t left = due > loop->now_ns ? due - loop->now_ns : 0;

		if (left < timeout_ns)
			timeout_ns = left;
	}
	if (timeout_ns == LOOP_FOREVER)
		return epoll_wait(loop->epoll, loop->batch, LOOP_BATCH, -1);
	if (timeout_ns == 0)
		return epoll_wait(loop->epoll, loop->batch, LOOP_BATCH, 0);
	wait.tv_sec = (time_t)(timeout_ns / NS_PER_S);
	wait.tv_nsec = (long)(timeout_ns % NS_PER_S);
	return epoll_pwait2(loop->epoll, loop->batch, LOOP_BATCH, &wait, NULL);
}

int loop_turn(struct loop *loop, uint64_t timeout_ns)
{
	int calls;
	int ready;
	int error;

	ASSERT(!loop->batch_count); /* not from a callback */
	ready = loop_wait(loop, timeout_ns);
	error = ready < 0 ? errno : 0;
	loop_read_clock(loop);
	if (error)
		return error == EINTR ? 0 : -error;
	/* Timers first: a deadline that passed must not be beaten by the event it was meant for. */
	loop->batch_count = ready;
	loop->batch_next = 0;
	calls = loop_run_timers(loop);
	while (loop->batch_next < loop->batch_count) {
		struct epoll_event *event = &loop->batch[loop->batch_next++];
		struct loop_source *source = event->data.ptr;

		if (!source)
			continue;
		ASSERT(source->dispatch); /* one that was forgotten is closed before a turn */
		source->dispatch(source, event->events);
		calls++;
	}
	loop->batch_count = 0;
	return calls;
}
