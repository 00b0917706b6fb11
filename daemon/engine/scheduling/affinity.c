/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/scheduling/affinity.h"

#include "base/assert.h"

void affinity_init(struct affinity *affinity)
{
	if (sched_getaffinity(0, sizeof(affinity->allowed), &affinity->allowed) < 0)
		CPU_ZERO(&affinity->allowed);
}

void affinity_adjust(struct affinity *affinity, struct transport *transport, uint64_t moved)
{
	cpu_set_t one;
	int there;

	ASSERT(moved >= affinity->moved);
	if (moved - affinity->moved < AFFINITY_BYTES)
		return;
	affinity->moved = moved;
	there = transport->ops->processor ? transport->ops->processor(transport) : -1;
	/* The guest's word is a hint, and where we may not run we don't go. */
	if (there < 0 || there >= CPU_SETSIZE || there == sched_getcpu() ||
	    !CPU_ISSET((size_t)there, &affinity->allowed))
		return;
	CPU_ZERO(&one);
	CPU_SET((size_t)there, &one);
	if (sched_setaffinity(0, sizeof(one), &one) == 0)
		(void)sched_setaffinity(0, sizeof(affinity->allowed), &affinity->allowed);
}
