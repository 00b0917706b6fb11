/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls of the program that wait on an endpoint. */
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "endpoint.h"

static struct waiter *pop(struct endpoint *endpoint, struct waiter **at)
{
	struct waiter *waiter = *at;

	*at = waiter->next;
	if (waiter->deadline_ms)
		endpoint->run->deadlines--;
	return waiter;
}

/* Whoever was interrupted asks again under a new id; the old ones would pile up. */
static void drop_dead(struct endpoint *endpoint)
{
	struct waiter **at = &endpoint->waiters;

	while (*at) {
		if (notice_alive(&endpoint->run->notices, (*at)->notice.id))
			at = &(*at)->next;
		else
			free(pop(endpoint, at));
	}
}

int endpoint_wait(struct endpoint *endpoint, const struct notice *notice, uint64_t timeout_ms)
{
	struct waiter *waiter = malloc(sizeof(*waiter));
	struct waiter **at = &endpoint->waiters;

	if (!waiter)
		return -ENOMEM;
	drop_dead(endpoint);
	*waiter = (struct waiter){.notice = *notice};
	if (timeout_ms) {
		waiter->deadline_ms = loop_now_ms() + timeout_ms;
		endpoint->run->deadlines++;
	}
	while (*at)
		at = &(*at)->next;
	*at = waiter;
	return 0;
}

void endpoint_drop_first_waiter(struct endpoint *endpoint)
{
	free(pop(endpoint, &endpoint->waiters));
}

bool endpoint_answer_all(struct endpoint *endpoint, int result)
{
	bool arrived = false;

	while (endpoint->waiters) {
		struct waiter *waiter = pop(endpoint, &endpoint->waiters);

		if (notice_answer(&endpoint->run->notices, waiter->notice.id, result) == 0) {
			arrived = true;
		} else if (!arrived) {
			endpoint->lost_call = waiter->notice.call;
			endpoint->lost_result = result;
		}
		free(waiter);
	}
	if (arrived)
		endpoint->lost_call = -1;
	return arrived;
}

/* What a call whose time is over returns: SO_SNDTIMEO of connect, SO_RCVTIMEO of accept. */
static int late_result(const struct waiter *waiter)
{
	return waiter->notice.call == SYS_connect ? -EINPROGRESS : -EAGAIN;
}

static void expire(struct endpoint *endpoint, uint64_t now)
{
	struct waiter **at = &endpoint->waiters;

	while (*at) {
		struct waiter *waiter = *at;

		if (!waiter->deadline_ms || waiter->deadline_ms > now) {
			at = &waiter->next;
			continue;
		}
		pop(endpoint, at);
		notice_answer(&endpoint->run->notices, waiter->notice.id, late_result(waiter));
		free(waiter);
	}
}

void endpoint_expire(struct run *run)
{
	uint64_t now = loop_now_ms();
	uint32_t i;

	for (i = 0; i < ENDPOINT_BUCKETS && run->deadlines > 0; i++) {
		struct endpoint *endpoint;

		for (endpoint = run->bucket[i]; endpoint; endpoint = endpoint->next)
			expire(endpoint, now);
	}
}

int endpoint_next_deadline(struct run *run)
{
	uint64_t now = loop_now_ms();
	uint64_t first = UINT64_MAX;
	uint32_t i;

	if (!run->deadlines)
		return -1;
	for (i = 0; i < ENDPOINT_BUCKETS; i++) {
		const struct endpoint *endpoint;
		const struct waiter *waiter;

		for (endpoint = run->bucket[i]; endpoint; endpoint = endpoint->next)
			for (waiter = endpoint->waiters; waiter; waiter = waiter->next)
				if (waiter->deadline_ms && waiter->deadline_ms < first)
					first = waiter->deadline_ms;
	}
	return first <= now ? 0 : (int)(first - now);
}
