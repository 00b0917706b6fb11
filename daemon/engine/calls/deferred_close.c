/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/calls/deferred_close.h"

#include <unistd.h>

#include "base/assert.h"

void deferred_close_now(struct deferred_close *closing)
{
	while (closing->count)
		close(closing->fds[--closing->count]);
}

void deferred_close_add(struct deferred_close *closing, int fd)
{
	ASSERT(fd >= 0);
	if (closing->count == DEFERRED_CLOSE_MAX)
		deferred_close_now(closing);
	closing->fds[closing->count++] = fd;
}
