/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/scheduling/priority.h"

#include <errno.h>
#include <sys/resource.h>

#include "base/assert.h"

#define NICE_LIMIT 20 /* RLIMIT_NICE is this minus the least nice value, see getrlimit(2) */

void priority_init(struct priority *priority, bool adapts)
{
	struct rlimit limit;

	errno = 0;
	priority->base = getpriority(PRIO_PROCESS, 0);
	limit.rlim_cur = limit.rlim_max = (rlim_t)(NICE_LIMIT - priority->base - PRIORITY_CONNECTS);
	priority->adapts = adapts && !errno && setrlimit(RLIMIT_NICE, &limit) == 0;
}

static bool priority_is_most(uint64_t bytes, uint64_t others)
{
	return bytes >= PRIORITY_LEAST && bytes / PRIORITY_MOSTLY >= others;
}

int priority_choose(const struct traffic *traffic)
{
	uint64_t connected = traffic->connects * PRIORITY_CONNECT_BYTES;

	if (priority_is_most(connected, traffic->given + traffic->taken))
		return PRIORITY_CONNECTS;
	if (priority_is_most(connected + traffic->given, traffic->taken))
		return PRIORITY_GIVES;
	if (priority_is_most(traffic->taken, connected + traffic->given))
		return PRIORITY_TAKES;
	return 0;
}

void priority_adjust(struct priority *priority, const struct traffic *traffic, uint64_t now_ns)
{
	struct traffic period = {
		.given = traffic->given - priority->seen.given,
		.taken = traffic->taken - priority->seen.taken,
		.connects = traffic->connects - priority->seen.connects,
	};
	int added;

	ASSERT(traffic->given >= priority->seen.given && traffic->taken >= priority->seen.taken);
	if (!priority->adapts || now_ns < priority->until_ns)
		return;
	added = priority_choose(&period);
	priority->seen = *traffic;
	priority->until_ns = now_ns + PRIORITY_PERIOD_NS;
	if (added == priority->added)
		return;
	priority->added = added;
	/* Where it is refused we keep what we have, instead of never getting back. */
	if (setpriority(PRIO_PROCESS, 0, priority->base + added) < 0)
		priority->adapts = false;
}
