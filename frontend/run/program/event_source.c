/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/program/event_source.h"

#include <errno.h>
#include <sys/epoll.h>
#include <time.h>

#define EVENTS_AT_ONCE 64

int event_source_watch(int epoll_fd, struct event_source *source, int fd, uint32_t events,
		       event_source_fn fn)
{
	struct epoll_event event = {.events = events, .data.ptr = source};

	source->fn = fn;
	source->fd = fd;
	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void event_source_wait(int epoll_fd, int timeout_ms)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	int count = epoll_wait(epoll_fd, events, EVENTS_AT_ONCE, timeout_ms);
	int i;

	for (i = 0; i < count; i++) {
		struct event_source *source = events[i].data.ptr;

		source->fn(source, events[i].events);
	}
}

uint64_t event_source_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}
