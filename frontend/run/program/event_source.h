/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptors that pvcalls-run watches. A source is embedded in what owns it. */
#ifndef PROGRAM_EVENT_SOURCE_H
#define PROGRAM_EVENT_SOURCE_H

#include <stdint.h>

struct event_source;
/* events: of epoll_ctl(2) */
typedef void (*event_source_fn)(struct event_source *source, uint32_t events);

/* A descriptor, and who is told of its events. */
struct event_source {
	event_source_fn fn;
	int fd; /* borrowed */
};

/* Watches fd for events of epoll_ctl(2). Returns 0 or -errno. */
int event_source_watch(int epoll_fd, struct event_source *source, int fd, uint32_t events,
		       event_source_fn fn);
/* Waits up to timeout_ms and calls the sources that are ready. */
void event_source_wait(int epoll_fd, int timeout_ms);
/* CLOCK_MONOTONIC in milliseconds. */
uint64_t event_source_now_ms(void);

#endif
