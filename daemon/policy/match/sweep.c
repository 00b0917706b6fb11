/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/match/sweep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

/*
 * An event is one number, so that sorting is comparing numbers: where (33 bits, since what ends at
 * the last address ends behind it), begin or end, which rule (30 bits).
 */
#define SWEEP_BEGINS             (1ull << 30)
#define SWEEP_POINT(e)           ((e) >> 31)
#define SWEEP_RULE(e)            ((uint32_t)(e) & (SWEEP_RULES_MAX - 1))
#define SWEEP_EVENT(point, rule) ((uint64_t)(point) << 31 | (rule))

#define SWEEP_SMALL 48u /* events up to which moving them one by one is the faster sort */

static int sweep_grow(void **list, size_t *capacity, size_t count, size_t size)
{
	size_t wanted = *capacity ? *capacity * 2 : 64;
	void *grown;

	if (count < *capacity)
		return 0;
	grown = reallocarray(*list, wanted, size);
	if (!grown)
		return -ENOMEM;
	*list = grown;
	*capacity = wanted;
	return 0;
}

static int sweep_add_event(struct sweep *sweep, uint64_t event)
{
	void *list = sweep->events;
	int result = sweep_grow(&list, &sweep->capacity, sweep->count, sizeof(event));

	sweep->events = list;
	if (!result)
		sweep->events[sweep->count++] = event;
	return result;
}

int sweep_add(struct sweep *sweep, struct range range, uint32_t rule)
{
	int result;

	ASSERT(range.first <= range.last && rule < SWEEP_RULES_MAX);
	result = sweep_add_event(sweep, SWEEP_EVENT(range.first, rule) | SWEEP_BEGINS);
	return result ? result
		      : sweep_add_event(sweep, SWEEP_EVENT((uint64_t)range.last + 1, rule));
}

static int sweep_compare_events(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a;
	uint64_t right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

static void sweep_sort(uint64_t *events, size_t count)
{
	uint64_t event;
	size_t i;
	size_t j;

	if (count > SWEEP_SMALL) {
		qsort(events, count, sizeof(*events), sweep_compare_events);
		return;
	}
	for (i = 1; i < count; i++) {
		event = events[i];
		for (j = i; j && events[j - 1] > event; j--)
			events[j] = events[j - 1];
		events[j] = event;
	}
}

/* Where rule is among the active ones, or would be. */
static size_t sweep_find_active(const struct sweep *sweep, uint32_t rule)
{
	size_t low = 0;
	size_t high = sweep->active_count;
	size_t middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (sweep->active[middle] < rule)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int sweep_apply(struct sweep *sweep, uint64_t event)
{
	uint32_t rule = SWEEP_RULE(event);
	size_t at = sweep_find_active(sweep, rule);
	size_t behind = sweep->active_count - at;
	void *list = sweep->active;
	int result;

	if (!(event & SWEEP_BEGINS)) {
		ASSERT(behind && sweep->active[at] == rule);
		memmove(sweep->active + at, sweep->active + at + 1,
			(behind - 1) * sizeof(*sweep->active));
		sweep->active_count--;
		return 0;
	}
	result = sweep_grow(&list, &sweep->active_capacity, sweep->active_count, sizeof(rule));
	sweep->active = list;
	if (result)
		return result;
	memmove(sweep->active + at + 1, sweep->active + at, behind * sizeof(*sweep->active));
	sweep->active[at] = rule;
	sweep->active_count++;
	return 0;
}

int sweep_run(struct sweep *sweep, uint32_t max, sweep_fn step, void *context)
{
	uint64_t point = 0;
	int result = 0;
	size_t i = 0;

	sweep_sort(sweep->events, sweep->count);
	sweep->active_count = 0;
	while (!result && point <= max) {
		for (; i < sweep->count && SWEEP_POINT(sweep->events[i]) == point && !result; i++)
			result = sweep_apply(sweep, sweep->events[i]);
		if (!result)
			result = step(context, (uint32_t)point, sweep->active, sweep->active_count);
		if (i == sweep->count)
			break;
		point = SWEEP_POINT(sweep->events[i]);
	}
	sweep->count = 0;
	return result;
}

void sweep_free(struct sweep *sweep)
{
	free(sweep->events);
	free(sweep->active);
	memset(sweep, 0, sizeof(*sweep));
}
