/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A call's record in the trail's queue: a slot is taken before the call, what is asked is written
 * into it before the policy is asked, the decision before the call is executed, the outcome before
 * the guest is answered.
 */
#ifndef ENGINE_CALLS_CALL_RECORD_H
#define ENGINE_CALLS_CALL_RECORD_H

#include <stdbool.h>
#include <stdint.h>

struct calls;
struct pending_call;

/*
 * Takes a slot of the trail's queue. Returns false if there is none: then the calls are starved,
 * and the writer wakes the engine when it has given some back.
 */
bool call_record_take_slot(struct calls *calls, uint32_t *slot);
/* Gives a call, or the peer that an ACCEPT has just got, the time of this turn. */
void call_record_stamp(struct pending_call *pending);
/*
 * Makes it a call of its own that nobody has decided: gives it a serial number and a view (what
 * plugins see), from what was decoded.
 */
void call_record_number(struct pending_call *pending);

/* Writes into the slot, once, that the call waits for what it will be decided about. */
void call_record_waiting(struct pending_call *pending);
/* Writes what is asked into the slot: from now on it is kept that it was, and of which plugin. */
void call_record_asked(struct pending_call *pending);
/*
 * Writes the decision into the slot: from now on it is kept, whatever happens to the engine. The
 * call is CALL_DECIDED.
 */
void call_record_decision(struct pending_call *pending);
/*
 * Writes the outcome (0 or a negative errno), tells the plugins and hands the slot to the writer.
 * The slot is not the call's any more.
 */
void call_record_outcome(struct pending_call *pending, int result);

#endif
