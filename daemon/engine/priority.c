/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/priority.h"

#include <errno.h>
#include <sys/resource.h>

#include "base/clock.h"

#define NICE_LIMIT 20 /* RLIMIT_NICE is this minus the least nice value, see getrlimit(2) */

void priority_init(struct priority *priority, bool adapts)
{
	struct rlimit limit;

	errno = 0;
	priority->base = getpriority(PRIO_PROCESS, 0);
	limit.rlim_cur = limit.rlim_max = (rlim_t)(NICE_LIMIT - priority->base - PRIORITY_CONNECTS);
	priority->adapts = adapts && !errno && setrlimit(RLIMIT_NICE, &limit) == 0;
}

static bool is_most(uint64_t bytes, uint64_t others)
{
	return bytes >= PRIORITY_LEAST && bytes / PRIORITY_MOSTLY >= others;
}

int priority_choose(const struct traffic *traffic)
{
	if (is_most(traffic->connected, traffic->given + traffic->taken))
		return PRIORITY_CONNECTS;
	if (is_most(traffic->connected + traffic->given, traffic->taken))
		return PRIORITY_GIVES;
	if (is_most(traffic->taken, traffic->connected + traffic->given))
		return PRIORITY_TAKES;
	return 0;
}

void priority_adjust(struct priority *priority)
{
	uint64_t now = priority->adapts ? clock_monotonic_ns() : 0;
	int added;

	if (!priority->adapts || now < priority->until_ns)
		return;
	added = priority_choose(&priority->traffic);
	priority->traffic = (struct traffic){0};
	priority->until_ns = now + PRIORITY_PERIOD_NS;
	if (added == priority->added)
		return;
	priority->added = added;
	/* Where it is refused we keep what we have, instead of never getting back. */
	if (setpriority(PRIO_PROCESS, 0, priority->base + added) < 0)
		priority->adapts = false;
}
