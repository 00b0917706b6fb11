/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sees when a guest can't ask for anything because every slot of its command ring waits, and says
 * of what they are full. Only frontends without feature-park get there, or one that has PARKED_MAX
 * calls under way. What ACCEPTs wait for can't be hurried; but the oldest connect gives way to what
 * else the guest may want, once it has had time for three of its SYNs (sent after 0, 1 and 3 s).
 */
#ifndef ENGINE_SCHEDULING_SLOTS_WATCH_H
#define ENGINE_SCHEDULING_SLOTS_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"

struct calls;

#define SLOTS_WATCH_FULL_NS    1000000000u  /* full for so long is worth an event */
#define SLOTS_WATCH_TELL_NS    60000000000u /* between two events of a guest */
#define SLOTS_WATCH_CONNECT_NS 4000000000u  /* that a connect has while all slots are taken */
#define SLOTS_WATCH_TEXT       160          /* bytes, with the NUL; cut beyond */

/* Zeroed but for calls: nothing was seen. */
struct slots_watch {
	struct calls *calls;
	struct loop_timer timer; /* of the time that it has been full */
	bool full;
	uint64_t hurried; /* serial of the connect whose time was cut short; 0: none */
	bool told;        /* at told_ns */
	uint64_t told_ns;
	char text[SLOTS_WATCH_TEXT]; /* to be told now; empty: nothing */
};

/* Looks how many slots are taken, at the end of a turn. */
void slots_watch_look(struct slots_watch *watch);
/* Forgets the ring. */
void slots_watch_reset(struct slots_watch *watch);
/* What slots are taken by: "20 accept, 12 connect", or "-". */
void slots_watch_describe(const struct calls *calls, char *text, size_t size);

#endif
