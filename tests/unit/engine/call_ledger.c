/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "call_ledger.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

void call_ledger_create(struct call_ledger *ledger, const struct calls *calls)
{
	*ledger = (struct call_ledger){.calls = calls};
	ledger->asked = calloc(CALL_LEDGER_MAX, sizeof(*ledger->asked));
	ledger->records = calloc(CALL_LEDGER_MAX, sizeof(*ledger->records));
	ASSERT(ledger->asked && ledger->records);
}

void call_ledger_free(struct call_ledger *ledger)
{
	free(ledger->asked);
	free(ledger->records);
}

void call_ledger_begin(struct call_ledger *ledger)
{
	memset(ledger->records, 0, ledger->recorded * sizeof(*ledger->records));
	ledger->asked_count = 0;
	ledger->open = 0;
	ledger->recorded = 0;
	ledger->serials = ledger->calls->serial;
}

void call_ledger_ask(struct call_ledger *ledger, struct wire_request *request, uint32_t ring)
{
	ASSERT(ledger->asked_count < CALL_LEDGER_MAX);
	request->req_id = ledger->asked_count;
	ledger->asked[ledger->asked_count++] = (struct asked){
		.cmd = request->cmd, .id = request->id, .ring = ring, .result = CALL_LEDGER_OPEN};
	ledger->open++;
}

const struct asked *call_ledger_answer(struct call_ledger *ledger,
				       const struct wire_response *response)
{
	struct asked *asked;

	ASSERT(response->req_id < ledger->asked_count);
	asked = &ledger->asked[response->req_id];
	ASSERT(asked->cmd == response->cmd && asked->id == response->id);
	ASSERT(asked->result == CALL_LEDGER_OPEN && response->ret <= 0);
	asked->result = response->ret;
	ledger->open--;
	return asked;
}

/* A peer that was refused while its ACCEPT waits on. */
static bool call_ledger_is_refused_peer(const struct audit_record *record)
{
	return record->op == PVCALLS_OP_ACCEPT && record->peer.family &&
	       record->verdict != VERDICT_ALLOW && record->verdict != VERDICT_WOULD_DENY &&
	       strcmp(record->decider, "protocol") != 0;
}

void call_ledger_record(struct call_ledger *ledger, const struct audit_record *record)
{
	struct recorded *kept;

	/* In the order in which things happened. */
	ASSERT(record->wall_ns >= ledger->wall_ns);
	ledger->wall_ns = record->wall_ns;
	ASSERT(record->serial > ledger->serials && record->serial <= ledger->calls->serial);
	ASSERT(record->serial - ledger->serials <= CALL_LEDGER_MAX);
	kept = &ledger->records[record->serial - ledger->serials - 1];
	ASSERT(!kept->seen);
	kept->seen = true;
	kept->refused_peer = call_ledger_is_refused_peer(record);
	kept->op = record->op;
	kept->result = record->result;
	ledger->recorded++;
}

void call_ledger_look(struct call_ledger *ledger)
{
	const struct pending_call *pending;
	uint32_t i;

	for (i = 0; (pending = pending_call_at(ledger->calls, i)); i++) {
		if (pending->in_use)
			ledger->asked[pending->call.req_id].serial = pending->call.serial;
	}
}

uint32_t call_ledger_under_way(const struct call_ledger *ledger)
{
	const struct pending_call *pending;
	uint32_t count = 0;
	uint32_t i;

	for (i = 0; (pending = pending_call_at(ledger->calls, i)); i++)
		count += pending->in_use && pending->call.state != CALL_DONE;
	return count;
}

void call_ledger_forget(struct call_ledger *ledger, uint32_t count)
{
	ASSERT(count <= ledger->asked_count && count <= ledger->open);
	ledger->asked_count -= count;
	ledger->open -= count;
}

static bool call_ledger_fits(const struct asked *asked, const struct recorded *record)
{
	return record->seen && !record->matched && !record->refused_peer &&
	       record->op == asked->cmd &&
	       (asked->result == CALL_LEDGER_OPEN || record->result == asked->result);
}

/* The record of the call that the request was seen as, or NULL: that was a refused peer's. */
static struct recorded *call_ledger_known(struct call_ledger *ledger, const struct asked *asked)
{
	struct recorded *record;

	if (!asked->serial)
		return NULL;
	record = &ledger->records[asked->serial - ledger->serials - 1];
	return record->refused_peer ? NULL : record;
}

/* Any record that would fit. */
static struct recorded *call_ledger_find(struct call_ledger *ledger, const struct asked *asked)
{
	uint32_t i;

	for (i = 0; i < ledger->recorded; i++)
		if (call_ledger_fits(asked, &ledger->records[i]))
			return &ledger->records[i];
	return NULL;
}

static void call_ledger_match(struct call_ledger *ledger, bool known)
{
	uint32_t i;

	for (i = 0; i < ledger->asked_count; i++) {
		const struct asked *asked = &ledger->asked[i];
		struct recorded *record = call_ledger_known(ledger, asked);

		if (!!record != known)
			continue;
		if (!record)
			record = call_ledger_find(ledger, asked);
		ASSERT(record && call_ledger_fits(asked, record));
		record->matched = true;
	}
}

void call_ledger_account(struct call_ledger *ledger, uint32_t closes)
{
	uint32_t left = 0;
	uint32_t i;

	ASSERT(ledger->recorded == ledger->calls->serial - ledger->serials);
	/* First those that are known; what is left may belong to any of the others. */
	call_ledger_match(ledger, true);
	call_ledger_match(ledger, false);
	for (i = 0; i < ledger->recorded; i++) {
		const struct recorded *record = &ledger->records[i];

		if (record->matched || record->refused_peer)
			continue;
		ASSERT(record->op == PVCALLS_OP_RELEASE && !record->result);
		left++;
	}
	ASSERT(left == closes);
}
