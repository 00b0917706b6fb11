/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/calls/deferred_close.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"

static int deferred_close_compare(const void *a, const void *b)
{
	const int *first = a;
	const int *second = b;

	return (*first > *second) - (*first < *second);
}

/* Closes descriptors first to last, all of which are ours. */
static void deferred_close_run(int first, int last)
{
	/* A kernel before 5.9 closes one at a time. */
	if (first < last && close_range((unsigned int)first, (unsigned int)last, 0) == 0)
		return;
	for (; first <= last; first++)
		close(first);
}

void deferred_close_now(struct deferred_close *closing)
{
	uint32_t first = 0;
	uint32_t i;

	if (closing->count > 1)
		qsort(closing->fds, closing->count, sizeof(closing->fds[0]),
		      deferred_close_compare);
	for (i = 1; i <= closing->count; i++) {
		if (i < closing->count && closing->fds[i] == closing->fds[i - 1] + 1)
			continue;
		ASSERT(i == closing->count || closing->fds[i] > closing->fds[i - 1]);
		deferred_close_run(closing->fds[first], closing->fds[i - 1]);
		first = i;
	}
	closing->count = 0;
}

void deferred_close_add(struct deferred_close *closing, int fd)
{
	ASSERT(fd >= 0);
	if (closing->count == DEFERRED_CLOSE_MAX)
		deferred_close_now(closing);
	closing->fds[closing->count++] = fd;
}
