/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/follow.h"

#include <sched.h>

#include "engine/engine.h"

/* Moved since the last look: some milliseconds of a busy stream. */
#define FOLLOW_BYTES (4u << 20)

void follow_init(struct engine *engine)
{
	if (sched_getaffinity(0, sizeof(engine->processors), &engine->processors) < 0)
		CPU_ZERO(&engine->processors);
}

void follow_guest(struct engine *engine)
{
	const struct transport_ops *ops = engine->transport->ops;
	cpu_set_t one;
	int there;

	if (engine->bytes_moved < FOLLOW_BYTES)
		return;
	engine->bytes_moved = 0;
	there = ops->processor ? ops->processor(engine->transport) : -1;
	/* The guest's word is a hint, and where we may not run we don't go. */
	if (there < 0 || there >= CPU_SETSIZE || there == sched_getcpu() ||
	    !CPU_ISSET((size_t)there, &engine->processors))
		return;
	CPU_ZERO(&one);
	CPU_SET((size_t)there, &one);
	if (sched_setaffinity(0, sizeof(one), &one) == 0)
		(void)sched_setaffinity(0, sizeof(engine->processors), &engine->processors);
}
