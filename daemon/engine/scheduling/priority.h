/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Running ahead of those whom the engine gives work, and behind those from whom it takes it.
 *
 * Theory of operation. Where an engine shares a processor with the guest's peers, who runs first
 * decides how much work a switch between them is for. A peer that runs as soon as it is woken takes
 * one connection or one piece of data and sleeps again: two switches for each. If the engine goes
 * on as long as it has something to give, the peer finds much of it together. What the engine takes
 * from a peer goes the same way, with the roles changed. So an engine that mostly connects or gives
 * gets a higher priority, one that mostly takes a lower one, and one that does several things, or
 * little, the priority that it was started with. What the last period saw decides.
 *
 * No more is added than it takes, since guests' engines share processors as well: connections, each
 * of which wakes a peer twice, need more than bytes, of which a wake-up is for many.
 *
 * This is for guests that are other domains and run on processors of their own. One that is a
 * process of this machine has a priority of its own, see affinity.h for what is done about it.
 */
#ifndef ENGINE_SCHEDULING_PRIORITY_H
#define ENGINE_SCHEDULING_PRIORITY_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/connections/connections.h"

/* What is added to the nice value (nice(2)) of an engine that mostly does this. */
#define PRIORITY_CONNECTS (-7)
#define PRIORITY_GIVES    (-3)
#define PRIORITY_TAKES    1

#define PRIORITY_PERIOD_NS     20000000u   /* 20 ms */
#define PRIORITY_LEAST         (32u << 10) /* bytes of a period that make it count */
#define PRIORITY_CONNECT_BYTES (8u << 10)  /* what a connection counts for */
#define PRIORITY_MOSTLY        4u          /* so many times all that goes the other way */

/* Zeroed, then priority_init(). */
struct priority {
	struct traffic seen; /* at the end of the last period */
	uint64_t until_ns;   /* the end of this one, monotonic */
	int base;            /* the nice value at start */
	int added;           /* to it, now */
	bool adapts;
};

/*
 * Remembers the nice value and, if `adapts`, gets the right to lower it later, which takes
 * CAP_SYS_RESOURCE: without it the engine keeps its priority. Before the engine gives up its
 * rights.
 */
void priority_init(struct priority *priority, bool adapts);
/* What is to be added to the nice value of an engine that had this traffic in a period. */
int priority_choose(const struct traffic *traffic);
/* At a turn's end: sets the priority anew by the traffic so far, if the period is over at now_ns.
 */
void priority_adjust(struct priority *priority, const struct traffic *traffic, uint64_t now_ns);

#endif
