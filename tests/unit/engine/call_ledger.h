/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What was asked of an engine, what it answered and what it recorded: all of a time between
 * attaching and detaching, so that in the end every request can be found in exactly one record.
 *
 * A record does not say which request it is of. Of calls that wait that is seen in the engine; of
 * the others there must be as many records as requests, of each operation and result.
 */
#ifndef CALL_LEDGER_H
#define CALL_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/calls/calls.h"
#include "ipc/audit_record.h"

#define CALL_LEDGER_MAX  65536u /* requests, and records */
#define CALL_LEDGER_OPEN 1      /* result of a request without a response */

/* A request, by its req_id. */
struct asked {
	uint32_t cmd;
	uint64_t id;
	uint32_t ring;   /* 1 + which it brought; 0: none */
	int result;      /* CALL_LEDGER_OPEN until it is answered */
	uint64_t serial; /* of its call, once that was seen waiting; 0: never */
};

/* What is kept of a record. */
struct recorded {
	bool seen;
	bool refused_peer; /* the request goes on, as another call */
	bool matched;
	uint32_t op;
	int result;
};

struct call_ledger {
	const struct calls *calls;
	struct asked *asked;
	uint32_t asked_count;
	uint32_t open;            /* not answered */
	uint64_t serials;         /* calls of the engine before */
	struct recorded *records; /* by serial */
	uint32_t recorded;
	uint64_t wall_ns; /* of the last record */
};

/* A ledger of these calls, or aborts without memory. */
void call_ledger_create(struct call_ledger *ledger, const struct calls *calls);
void call_ledger_free(struct call_ledger *ledger);
/* Begins anew: what comes is of a guest that has attached just now. */
void call_ledger_begin(struct call_ledger *ledger);

/* Notes a request, and gives it its req_id. ring as in struct asked. */
void call_ledger_ask(struct call_ledger *ledger, struct wire_request *request, uint32_t ring);
/* Notes a response, which must be the first one to what it says. Returns the request. */
const struct asked *call_ledger_answer(struct call_ledger *ledger,
				       const struct wire_response *response);
/* Notes a record, which must be the first of its call. */
void call_ledger_record(struct call_ledger *ledger, const struct audit_record *record);
/* Notes which calls are pending now; to be called between turns. */
void call_ledger_look(struct call_ledger *ledger);
/* Calls that are under way: they have no record yet. */
uint32_t call_ledger_under_way(const struct call_ledger *ledger);
/* The last requests were never taken from the ring: as if they were not asked. */
void call_ledger_forget(struct call_ledger *ledger, uint32_t count);
/*
 * All is recorded: finds for every request its one record, and for every other record its reason.
 * closes: sockets that were closed without a call of the guest.
 */
void call_ledger_account(struct call_ledger *ledger, uint32_t closes);

#endif
