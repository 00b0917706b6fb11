/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors that are closed at the turn's end, after the guest has its answers: those that lie
 * side by side, as descriptors of one crowd of connections do, with one system call.
 */
#ifndef ENGINE_CALLS_DEFERRED_CLOSE_H
#define ENGINE_CALLS_DEFERRED_CLOSE_H

#include <stdint.h>

#define DEFERRED_CLOSE_MAX 64u /* more are closed earlier */

/* Zeroed means: empty. */
struct deferred_close {
	int fds[DEFERRED_CLOSE_MAX];
	uint32_t count;
};

/* Takes a descriptor, which no loop watches any more (or nothing else holds open). */
void deferred_close_add(struct deferred_close *closing, int fd);
/* Closes all of them. */
void deferred_close_now(struct deferred_close *closing);

#endif
