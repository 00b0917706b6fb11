/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/busy_poll.h"

#include <sched.h>

#include "base/assert.h"
#include "base/clock.h"

#define SAMPLES     16
#define SLEEP_CALLS 40u              /* what a sleep costs us and our peer, in system calls */
#define SLICE_CALLS 10u              /* memory is looked at for longer than the calls in between */
#define ROUND_CALLS 3u               /* the calls in between */
#define FIRST_PART  4u               /* the first time is this part of the longest */
#define LAST_PART   8u               /* less than this part of the longest is not worth it */
#define PAUSE_NS    (10 * NS_PER_MS) /* no polling for so long when the processor is wanted */
#define LOOKS_MIN   4u
#define LOOKS_MAX   65536u
#define LOOKS_FIRST 64u /* some microseconds, until rounds have been measured */

void busy_poll_calibrate(struct busy_poll *poll, uint64_t least_ns, uint64_t most_ns)
{
	uint64_t call_ns = UINT64_MAX;
	int i;

	ASSERT(least_ns <= most_ns);
	/* The least: others may have run meanwhile. */
	for (i = 0; i < SAMPLES; i++) {
		uint64_t before = clock_monotonic_ns();
		uint64_t took;

		sched_yield();
		took = clock_monotonic_ns() - before;
		if (took < call_ns)
			call_ns = took;
	}
	poll->round_ns = (SLICE_CALLS + ROUND_CALLS) * call_ns + 1;
	poll->max_ns = SLEEP_CALLS * call_ns;
	if (poll->max_ns < least_ns)
		poll->max_ns = least_ns;
	if (poll->max_ns > most_ns)
		poll->max_ns = most_ns;
	poll->first_ns = poll->max_ns / FIRST_PART;
	poll->looks = LOOKS_FIRST;
}

bool busy_poll_begin(struct busy_poll *poll, uint64_t now_ns)
{
	ASSERT(poll->ns <= poll->max_ns);
	poll->begun_ns = now_ns;
	poll->deadline_ns = now_ns + poll->ns;
	return poll->ns > 0;
}

/* What a processor does between two looks at memory. */
static void busy_poll_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

bool busy_poll_slice(const struct busy_poll *poll, busy_poll_look look, void *owner)
{
	uint32_t i;

	for (i = 0; i < poll->looks; i++) {
		if (look(owner))
			return true;
		busy_poll_relax();
	}
	return false;
}

/*
 * More or fewer looks, so that the next round takes as long as it shall; twice or half as many at
 * most, since a round may have been long for another reason.
 */
static void busy_poll_fit_looks(struct busy_poll *poll, uint64_t took_ns)
{
	uint64_t looks = poll->looks;

	if (took_ns <= poll->round_ns / 2)
		looks *= 2;
	else if (took_ns >= poll->round_ns * 2)
		looks /= 2;
	else
		looks = looks * poll->round_ns / took_ns;
	if (looks < LOOKS_MIN)
		looks = LOOKS_MIN;
	poll->looks = looks < LOOKS_MAX ? (uint32_t)looks : LOOKS_MAX;
}

bool busy_poll_goes_on(struct busy_poll *poll, uint64_t now_ns)
{
	uint64_t before_ns = poll->begun_ns;

	ASSERT(now_ns >= before_ns);
	poll->begun_ns = now_ns;
	if (busy_poll_gave_way(poll, before_ns + poll->round_ns, now_ns))
		return false;
	busy_poll_fit_looks(poll, now_ns - before_ns);
	return now_ns < poll->deadline_ns;
}

void busy_poll_end(struct busy_poll *poll, bool found)
{
	if (found)
		poll->ns = poll->ns * 2 < poll->max_ns ? poll->ns * 2 : poll->max_ns;
	else
		poll->ns = poll->ns > poll->max_ns / LAST_PART ? poll->ns / 2 : 0;
}

bool busy_poll_gave_way(struct busy_poll *poll, uint64_t before_ns, uint64_t now_ns)
{
	if (now_ns < before_ns || now_ns - before_ns < poll->max_ns)
		return false;
	poll->ns = 0;
	poll->again_ns = now_ns + PAUSE_NS;
	return true;
}

void busy_poll_slept(struct busy_poll *poll, uint64_t before_ns, uint64_t now_ns)
{
	ASSERT(now_ns >= before_ns);
	if (!poll->ns && now_ns - before_ns < poll->max_ns && now_ns > poll->again_ns)
		poll->ns = poll->first_ns;
}
