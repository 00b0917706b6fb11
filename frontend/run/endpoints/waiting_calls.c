/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/endpoints/waiting_calls.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"

static struct waiting_call *waiting_calls_pop(struct endpoint *endpoint, struct waiting_call **at)
{
	struct waiting_call *waiting = *at;

	ASSERT(waiting);
	*at = waiting->next;
	ASSERT(!waiting->deadline_ms || endpoint->table->deadlines > 0);
	if (waiting->deadline_ms)
		endpoint->table->deadlines--;
	return waiting;
}

/* Whoever was interrupted asks again under a new id; the old ones would pile up. */
static void waiting_calls_drop_dead(struct endpoint *endpoint)
{
	struct waiting_call **at = &endpoint->waiting;

	while (*at) {
		if (trap_alive(&endpoint->table->trap, (*at)->call.id))
			at = &(*at)->next;
		else
			free(waiting_calls_pop(endpoint, at));
	}
}

int waiting_calls_add(struct endpoint *endpoint, const struct trapped_call *call,
		      uint64_t timeout_ms, int late)
{
	struct waiting_call *waiting = malloc(sizeof(*waiting));
	struct waiting_call **at = &endpoint->waiting;

	if (!waiting)
		return -ENOMEM;
	waiting_calls_drop_dead(endpoint);
	*waiting = (struct waiting_call){.call = *call, .late = late};
	if (timeout_ms) {
		waiting->deadline_ms = event_source_now_ms() + timeout_ms;
		endpoint->table->deadlines++;
	}
	while (*at)
		at = &(*at)->next;
	*at = waiting;
	return 0;
}

bool waiting_calls_are_there(struct endpoint *endpoint)
{
	waiting_calls_drop_dead(endpoint);
	return endpoint->waiting;
}

void waiting_calls_drop_first(struct endpoint *endpoint)
{
	free(waiting_calls_pop(endpoint, &endpoint->waiting));
}

bool waiting_calls_answer_all(struct endpoint *endpoint, int result)
{
	bool arrived = false;

	while (endpoint->waiting) {
		struct waiting_call *waiting = waiting_calls_pop(endpoint, &endpoint->waiting);

		if (trap_answer(&endpoint->table->trap, waiting->call.id, result) == 0) {
			arrived = true;
		} else if (!arrived) {
			endpoint->lost_call = waiting->call.number;
			endpoint->lost_result = result;
		}
		free(waiting);
	}
	if (arrived)
		endpoint->lost_call = -1;
	return arrived;
}

static void waiting_calls_expire_on(struct endpoint *endpoint, uint64_t now)
{
	struct waiting_call **at = &endpoint->waiting;

	while (*at) {
		struct waiting_call *waiting = *at;

		if (!waiting->deadline_ms || waiting->deadline_ms > now) {
			at = &waiting->next;
			continue;
		}
		waiting_calls_pop(endpoint, at);
		trap_answer(&endpoint->table->trap, waiting->call.id, waiting->late);
		free(waiting);
	}
}

void waiting_calls_expire(struct endpoint_table *table)
{
	uint64_t now = event_source_now_ms();
	uint32_t i;

	for (i = 0; i < ENDPOINT_BUCKETS && table->deadlines > 0; i++) {
		struct endpoint *endpoint;

		for (endpoint = table->bucket[i]; endpoint; endpoint = endpoint->next)
			waiting_calls_expire_on(endpoint, now);
	}
}

int waiting_calls_next_deadline(struct endpoint_table *table)
{
	uint64_t now = event_source_now_ms();
	uint64_t first = UINT64_MAX;
	uint32_t i;

	if (!table->deadlines)
		return -1;
	for (i = 0; i < ENDPOINT_BUCKETS; i++) {
		const struct endpoint *endpoint;
		const struct waiting_call *waiting;

		for (endpoint = table->bucket[i]; endpoint; endpoint = endpoint->next)
			for (waiting = endpoint->waiting; waiting; waiting = waiting->next)
				if (waiting->deadline_ms && waiting->deadline_ms < first)
					first = waiting->deadline_ms;
	}
	return first <= now ? 0 : (int)(first - now);
}
