/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/calls/parking.h"

#include <errno.h>

#include "base/assert.h"
#include "call/wire_errno.h"
#include "engine/calls/calls.h"

/* Where the recovery log has the COLLECT that is at this place of the ring of those. */
static uint32_t parking_collect_entry(uint32_t place)
{
	return PARKED_MAX + place % COMMAND_SLOTS;
}

/* Answers the oldest COLLECT with the outcome of this call, which is the call's end. */
static void parking_push_outcome(struct calls *calls, struct pending_call *pending)
{
	uint32_t place = calls->collects_answered++;
	uint32_t entry = parking_collect_entry(place);
	uint32_t rsp_prod = calls->ring.rsp_prod;
	const struct wire_response response = {
		.req_id = calls->collects[place % COMMAND_SLOTS],
		.cmd = WIRE_COLLECT,
		.ret = wire_errno(pending->result),
		.pad = pending->extra,
		.id = pending->ticket,
	};

	/* One response ends both: neither is open once it counts, and both are if it does not. */
	recovery_log_answering(calls->recovery_log, pending->number, rsp_prod);
	recovery_log_answering(calls->recovery_log, entry, rsp_prod);
	command_ring_push(&calls->ring, &response);
	recovery_log_answered(calls->recovery_log, pending->number, rsp_prod);
	recovery_log_unanswered(calls->recovery_log, entry);
	calls->responses_due = true;
	pending_call_free(pending);
}

/* Tells as many outcomes as there are COLLECTs. */
static void parking_tell_all(struct calls *calls)
{
	while (calls->untold && calls->collects_answered != calls->collects_taken)
		parking_push_outcome(calls, calls->untold->call);
}

void parking_tell(struct pending_call *pending)
{
	struct calls *calls = pending->calls;

	ASSERT(pending->is_parked && pending->call.state == CALL_DONE && calls->attached);
	pending_list_remove(&pending->place);
	pending_list_add(&calls->untold, &pending->place);
	parking_tell_all(calls);
}

void parking_collect(struct calls *calls, const struct wire_request *request)
{
	uint32_t place = calls->collects_taken++;

	ASSERT(calls->collects_taken - calls->collects_answered <= COMMAND_SLOTS);
	recovery_log_taken(calls->recovery_log, parking_collect_entry(place), request,
			   calls->ring.req_cons);
	calls->collects[place % COMMAND_SLOTS] = request->req_id;
	parking_tell_all(calls);
}

static void parking_park(struct pending_call *pending)
{
	struct calls *calls = pending->calls;
	struct wire_response response = call_response(&pending->call, -EINPROGRESS);
	uint32_t rsp_prod = calls->ring.rsp_prod;

	pending->ticket = pending->number + PARKED_MAX * calls->parkings++;
	response.pad = pending->ticket;
	recovery_log_parking(calls->recovery_log, pending->number, pending->ticket, rsp_prod);
	command_ring_push(&calls->ring, &response);
	recovery_log_parked(calls->recovery_log, pending->number, rsp_prod);
	calls->responses_due = true;
	pending->is_parked = true;
	calls->table.parked++;
	pending_list_remove(&pending->place);
	pending_list_add(&calls->parked, &pending->place);
}

void parking_make_room(struct calls *calls)
{
	struct pending_link *link = calls->in_slots;
	struct pending_link *next;

	if (!calls->parks || calls->ring.req_cons - calls->ring.rsp_prod <= PARKING_SLOTS_MAX)
		return;
	for (; link && calls->ring.req_cons - calls->ring.rsp_prod > PARKING_SLOTS_LEFT;
	     link = next) {
		next = pending_list_next(link);
		/* What is done waits for the disk only. */
		if (link->call->awaits_commit)
			continue;
		if (!pending_calls_have_room(calls))
			return;
		parking_park(link->call);
	}
}

void parking_restore(struct calls *calls, const struct wire_request *request, uint32_t ticket,
		     int result)
{
	uint32_t number = ticket % PARKED_MAX;
	struct pending_call *pending = pending_call_restore(calls, number);

	if (!pending)
		return;
	pending->ticket = ticket;
	if (calls->parkings <= ticket / PARKED_MAX)
		calls->parkings = ticket / PARKED_MAX + 1;
	recovery_log_taken(calls->recovery_log, number, request, calls->ring.req_cons);
	recovery_log_parking(calls->recovery_log, number, ticket, calls->ring.rsp_prod - 1);
	recovery_log_parked(calls->recovery_log, number, calls->ring.rsp_prod - 1);
	pending->call.req_id = request->req_id;
	call_advance(&pending->call, CALL_DECIDED);
	call_advance(&pending->call, CALL_DONE);
	pending->result = result;
	pending->is_parked = true;
	calls->table.parked++;
	pending_list_add(&calls->untold, &pending->place);
	parking_tell_all(calls);
}
