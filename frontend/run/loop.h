/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptors that pvcalls-run watches. A source is embedded in what owns it. */
#ifndef RUN_LOOP_H
#define RUN_LOOP_H

#include <stdint.h>

struct source;
typedef void (*source_fn)(struct source *source, uint32_t events);

struct source {
	source_fn fn;
	int fd; /* borrowed */
};

/* Watches fd for events of epoll_ctl(2). Returns 0 or -errno. */
int loop_watch(int epoll_fd, struct source *source, int fd, uint32_t events, source_fn fn);
/* Waits up to timeout_ms and calls the sources that are ready. */
void loop_once(int epoll_fd, int timeout_ms);
uint64_t loop_now_ms(void);

#endif
