/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every limit of an engine, and what it counts for status. */
#ifndef ENGINE_LIMITS_H
#define ENGINE_LIMITS_H

#include <stdint.h>

#define ENGINE_REQUESTS_PER_TURN 32u          /* of the command ring */
#define ENGINE_BYTES_PER_TURN    (256u << 10) /* of one stream in one direction */
#define ENGINE_LOOK_NS_MIN       50000u       /* longest look before sleeping, at least */
#define ENGINE_LOOK_NS_MAX       1000000u     /* and at most: see look_calibrate() */
#define ENGINE_CONNECT_NS        30000000000u /* 30 s: a connect that takes longer fails */
#define ENGINE_WARM_MAX          64u          /* connections looked at without an event */
#define ENGINE_WARM_TURNS        64u          /* and for so many turns without work */
#define ENGINE_SETTLE_TURNS      4u           /* a connection is settled after so many busy turns */
#define ENGINE_CLOSING_MAX       64u          /* descriptors kept for the turn's end */
#define ENGINE_LOST_SLOTS_WARN   28u          /* ring slots lost to unanswered accepts */

/* Sums for status. */
struct engine_counters {
	uint64_t calls;
	uint64_t denied;
	uint64_t faults;
	uint64_t malformed;
	uint64_t bytes_in;
	uint64_t bytes_out;
	uint64_t spurious; /* events that found no work */
	uint64_t stalls;   /* times the ring was left unread because the trail's queue was full */
	uint32_t lost_slots;
};

#endif
