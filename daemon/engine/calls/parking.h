/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calls that wait give their slots of the command ring back (feature-park).
 *
 * Theory of operation. A request has its slot until the frontend has taken a response to it, and
 * there are 32: what waits for the network, a peer or a plugin's delay keeps everything else of its
 * guest from being asked. So when many slots are taken, the calls that wait longest are parked:
 * answered -EINPROGRESS with a ticket, and pending as before. A response needs a request, so a
 * frontend that has parked calls keeps a few COLLECTs in the ring; the outcome of a parked call is
 * the answer to one of them. Nothing is parked before many calls wait, so that nobody pays for it
 * who doesn't need it.
 *
 * A COLLECT is no call of the guest's program: it has no record and is judged by nobody.
 */
#ifndef ENGINE_CALLS_PARKING_H
#define ENGINE_CALLS_PARKING_H

#include "ring/layout.h"

struct calls;
struct pending_call;

#define PARKING_SLOTS_MAX  20u /* taken at the end of a turn: if more are, calls are parked ... */
#define PARKING_SLOTS_LEFT 10u /* ... until so many are */

/* Parks calls that wait if many slots are taken; at the end of a turn. */
void parking_make_room(struct calls *calls);
/* A COLLECT was taken from the ring: it is answered now or when there is something to tell. */
void parking_collect(struct calls *calls, const struct wire_request *request);
/* A parked call is done: its outcome is told, now or when a COLLECT comes. */
void parking_tell(struct pending_call *pending);
/*
 * A call that another engine had parked with this ticket came to an end with that engine. Told when
 * there is a COLLECT.
 */
void parking_restore(struct calls *calls, const struct wire_request *request, uint32_t ticket,
		     int result);

#endif
