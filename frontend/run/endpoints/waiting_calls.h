/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Trapped calls that wait on an endpoint for their answer: connect, accept, bind, listen,
 * getsockname. */
#ifndef ENDPOINTS_WAITING_CALLS_H
#define ENDPOINTS_WAITING_CALLS_H

#include "run/endpoints/endpoint_table.h"

/* A trapped call that waits for its answer. */
struct waiting_call {
	struct waiting_call *next;
	struct trapped_call call;
	uint64_t deadline_ms; /* 0: none */
	int late;             /* what it is answered then */
};

/*
 * Lets the call wait, for timeout_ms at most (0: for ever); late is what it is answered then. 0 or
 * -ENOMEM.
 */
int waiting_calls_add(struct endpoint *endpoint, const struct trapped_call *call,
		      uint64_t timeout_ms, int late);
/* Whether a call waits that was not interrupted. */
bool waiting_calls_are_there(struct endpoint *endpoint);
/* Forgets the call that waits longest, which the caller answers; there must be one. */
void waiting_calls_drop_first(struct endpoint *endpoint);
/* Answers everything that waits. Returns whether at least one answer arrived. */
bool waiting_calls_answer_all(struct endpoint *endpoint, int result);
/* Answers calls whose time is over; at every turn while there are deadlines. */
void waiting_calls_expire(struct endpoint_table *table);
/* Milliseconds until the next deadline, or -1. */
int waiting_calls_next_deadline(struct endpoint_table *table);

#endif
