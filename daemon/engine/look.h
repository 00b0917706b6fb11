/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long an engine looks for work before it sleeps.
 *
 * Theory of operation. A sleep and a wake-up cost some system calls, an interrupt and two switches,
 * which is more than most waits are long; looking costs the processor for as long as it lasts. Who
 * looks for as long as a sleep costs never pays more than twice the best. What it costs is measured
 * at start, in system calls, since these cost ten times more in a domain of Xen than elsewhere.
 * Below that limit: doubled when looking found something, halved when it did not, and begun anew
 * when a sleep turned out to have been short. An idle engine therefore does not look at all, and
 * neither does one whose processor others want for long.
 */
#ifndef ENGINE_LOOK_H
#define ENGINE_LOOK_H

#include <stdbool.h>
#include <stdint.h>

/* Zeroed, then look_calibrate(). All times are monotonic or lengths, in nanoseconds. */
struct look {
	uint64_t ns;          /* how long to look the next time; 0: not at all */
	uint64_t max_ns;      /* at most so long */
	uint64_t slice_ns;    /* at memory, between two system calls */
	uint64_t again_ns;    /* not before this time */
	uint64_t deadline_ns; /* of the look that goes on */
	bool peers_told;      /* the turn gave the guest's peers something to do */
	bool unasked;         /* sockets were not asked after the last turn */
	bool shown;           /* memory showed work, and no turn has done any since */
};

/* Measures what a system call costs, which takes some of them. */
void look_calibrate(struct look *look);

void look_begin(struct look *look);
/* Whether there is time left. */
bool look_on(const struct look *look);
/* Until when memory is looked at now. */
uint64_t look_slice(const struct look *look);
/* What a processor does between two looks at memory. */
void look_pause(void);
void look_end(struct look *look, bool found);

/*
 * Lets others run that are ready on this processor: the peer of a connection, often. If they took
 * long, they need the processor more than we need to look.
 */
void look_give_way(struct look *look);
/* After a sleep that began at slept_ns. */
void look_after_sleep(struct look *look, uint64_t slept_ns);

#endif
