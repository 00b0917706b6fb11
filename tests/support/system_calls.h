/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counts the system calls of a function, all of them, whoever makes them: the kernel holds each one
 * until we have noted it (seccomp's notifications), so none is missed because nobody thought of it,
 * and a sanitizer is not in the way. What is served without a system call, such as the clock, is
 * not seen.
 *
 * The function runs in a thread of its own, and stands still in each call until the caller's thread
 * lets it go on: so the caller can have the world change at that very moment.
 */
#ifndef SYSTEM_CALLS_H
#define SYSTEM_CALLS_H

#include <stdint.h>

#define SYSTEM_CALLS_MAX 512u /* numbers above are counted as this one less 1 */

struct system_calls {
	uint32_t of[SYSTEM_CALLS_MAX]; /* by number */
};

struct seccomp_data;

/* A call was noted and is about to be made. */
typedef void (*system_calls_fn)(void *owner, const struct seccomp_data *call);

/*
 * Runs work(owner) and calls seen(owner, call), in the caller's thread, for each of its system
 * calls after adding it to counts. Returns 0, or -errno if this machine can't do it.
 */
int system_calls_count(struct system_calls *counts, void (*work)(void *), system_calls_fn seen,
		       void *owner);
/* How many there are, of all numbers. */
uint32_t system_calls_sum(const struct system_calls *counts);
/* The name of a number, or NULL for one that an engine is not known to make. */
const char *system_calls_name(uint32_t number);

#endif
