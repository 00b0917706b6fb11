/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long a process polls for work before it sleeps.
 *
 * Theory of operation. A sleep and a wake-up cost some system calls, an interrupt and two switches,
 * which is more than most waits are long; polling costs the processor for as long as it lasts. Who
 * polls for as long as a sleep costs never pays more than twice the best. What it costs is measured
 * at start, in system calls, since these cost ten times more in a domain of Xen than elsewhere.
 * Below that limit: doubled when polling found something, halved when it did not, and begun anew
 * when a sleep turned out to have been short. An idle process therefore does not poll at all, and
 * neither does one whose processor others want for long.
 *
 * Polling goes in rounds: a slice of looks at memory, then what takes system calls, among them a
 * sched_yield() for peers on the same processor. The clock is the caller's: a round needs one
 * reading of it, with which everything is judged, and a slice needs none, since how many looks fill
 * one is learnt from how long rounds take.
 *
 *	if (busy_poll_begin(poll, now))
 *		do {
 *			found = busy_poll_slice(poll, look, owner);
 *			if (!found) {
 *				sched_yield();
 *				found = ask_what_memory_does_not_show();
 *				now = clock_monotonic_ns();
 *			}
 *		} while (!found && busy_poll_goes_on(poll, now));
 *	busy_poll_end(poll, found);
 *	if (!found) {
 *		sleep(), with `before` and `now` read before and after it;
 *		busy_poll_slept(poll, before, now);
 *	}
 */
#ifndef BASE_BUSY_POLL_H
#define BASE_BUSY_POLL_H

#include <stdbool.h>
#include <stdint.h>

/* All times are monotonic or lengths, in nanoseconds. Zeroed: polls never. */
struct busy_poll {
	uint64_t ns;       /* how long to poll the next time; 0: not at all */
	uint64_t first_ns; /* how long after a short sleep */
	uint64_t max_ns;   /* at most so long */
	uint64_t again_ns; /* not before this time */
	uint64_t round_ns; /* how long a round shall take */
	uint32_t looks;    /* that fill a slice */
	uint64_t begun_ns; /* when the round that goes on began */
	uint64_t deadline_ns;
};

/* Whether memory shows work: a load or some, no system call. */
typedef bool (*busy_poll_look)(void *owner);

/*
 * Measures what a system call costs, which takes some of them and of readings of the clock, and
 * sets how long to poll at most: no less than least_ns and no more than most_ns. A short sleep
 * begins with a quarter of that; the caller may change first_ns.
 */
void busy_poll_calibrate(struct busy_poll *poll, uint64_t least_ns, uint64_t most_ns);

/* Begins to poll. Returns whether that may pay; if not, only busy_poll_slept() may follow. */
bool busy_poll_begin(struct busy_poll *poll, uint64_t now_ns);
/* Looks at memory for a slice of the time. Returns whether look() did at last. */
bool busy_poll_slice(const struct busy_poll *poll, busy_poll_look look, void *owner);
/*
 * A round has ended in vain at now_ns. Returns whether there is time for another. A round in which
 * others had the processor for longer than polling may last ends it, and lets it rest for a while.
 */
bool busy_poll_goes_on(struct busy_poll *poll, uint64_t now_ns);
/* Polling has ended; found: because there is work. Nothing without busy_poll_begin(). */
void busy_poll_end(struct busy_poll *poll, bool found);

/*
 * The caller let others have the processor outside of a round, from before_ns to now_ns. Returns
 * whether they took it for so long that polling rests.
 */
bool busy_poll_gave_way(struct busy_poll *poll, uint64_t before_ns, uint64_t now_ns);
/* The caller slept from before_ns to now_ns. */
void busy_poll_slept(struct busy_poll *poll, uint64_t before_ns, uint64_t now_ns);

#endif
