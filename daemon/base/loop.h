/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An event loop: file descriptors (epoll) and timers.
 *
 * Sources and timers are embedded in what owns them. loop_remove() also cancels events of the batch
 * being dispatched, so an owner may be freed at once, from any callback, its own included.
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;
struct loop_source;
struct loop_timer;

/* events: EPOLLIN, EPOLLOUT, ... of epoll_ctl(2) */
typedef void (*loop_fd_fn)(struct loop_source *source, uint32_t events);
typedef void (*loop_timer_fn)(struct loop_timer *timer);

/* A file descriptor that is watched. The loop does not own the descriptor. */
struct loop_source {
	loop_fd_fn dispatch;
	void *owner;
	int fd;
};

/* A point in time that is waited for. Zeroed means: not armed. */
struct loop_timer {
	loop_timer_fn expired;
	void *owner;
	uint64_t deadline_ns;
	size_t heap_slot; /* 1 + place in the heap; 0: not armed */
};

/* Returns a loop, or NULL with errno set. */
struct loop *loop_create(void);
void loop_destroy(struct loop *loop);

/* Watches fd for events (EPOLLET allowed). Returns 0 or -errno. */
int loop_add(struct loop *loop, struct loop_source *source, int fd, uint32_t events,
	     loop_fd_fn dispatch, void *owner);
/* Watches for other events than before. Returns 0 or -errno. */
int loop_modify(struct loop *loop, struct loop_source *source, uint32_t events);
/* Stops watching; a source that is not watched (dispatch is NULL) is left alone. */
void loop_remove(struct loop *loop, struct loop_source *source);
/* As loop_remove(), for a descriptor that is closed next and has no duplicate: saves a system call.
 */
void loop_forget(struct loop *loop, struct loop_source *source);

/* Arms (or re-arms) a timer for deadline_ns of clock_monotonic_ns(). Returns 0 or -ENOMEM. */
int loop_arm(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ns,
	     loop_timer_fn expired, void *owner);
/* A timer that is not armed is left alone. */
void loop_disarm(struct loop *loop, struct loop_timer *timer);

/*
 * The monotonic time that was read when the last turn began to make callbacks: the one reading of
 * the clock of a turn, for whoever is called within it.
 */
uint64_t loop_now_ns(const struct loop *loop);
/* The processor's counter (base/ticks.h) just before that reading. */
uint64_t loop_now_ticks(const struct loop *loop);

#define LOOP_FOREVER UINT64_MAX

/*
 * One turn: expired timers, then at most LOOP_BATCH ready descriptors; waits up to timeout_ns for
 * the first of them. Not for callbacks. Returns the number of callbacks made, or -errno. How long
 * to wait is reckoned from loop_now_ns(), so a timer may be late by the time that the caller worked
 * since then.
 */
int loop_turn(struct loop *loop, uint64_t timeout_ns);

#endif
