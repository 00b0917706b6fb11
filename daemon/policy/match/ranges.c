/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/match/ranges.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

int ranges_add(struct ranges *ranges, struct range range)
{
	size_t capacity = ranges->capacity ? ranges->capacity * 2 : 4;
	struct range *grown;

	if (ranges->count == ranges->capacity) {
		grown = reallocarray(ranges->list, capacity, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		ranges->list = grown;
		ranges->capacity = capacity;
	}
	ranges->list[ranges->count++] = range;
	return 0;
}

int ranges_add_all(struct ranges *ranges, const struct ranges *more)
{
	int result = 0;
	size_t i;

	for (i = 0; i < more->count && !result; i++)
		result = ranges_add(ranges, more->list[i]);
	return result;
}

static int range_compare(const void *a, const void *b)
{
	const struct range *left = a;
	const struct range *right = b;

	return left->first < right->first ? -1 : left->first > right->first;
}

void ranges_normalise(struct ranges *ranges)
{
	struct range *last;
	size_t kept = 0;
	size_t i;

	if (ranges->count < 2)
		return;
	qsort(ranges->list, ranges->count, sizeof(*ranges->list), range_compare);
	for (i = 1; i < ranges->count; i++) {
		last = &ranges->list[kept];
		if (last->last != UINT32_MAX && ranges->list[i].first > last->last + 1)
			ranges->list[++kept] = ranges->list[i];
		else if (ranges->list[i].last > last->last)
			last->last = ranges->list[i].last;
	}
	ranges->count = kept + 1;
}

bool ranges_have(const struct ranges *ranges, uint32_t number)
{
	size_t low = 0;
	size_t high = ranges->count;
	size_t middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (ranges->list[middle].last < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low < ranges->count && ranges->list[low].first <= number;
}

void ranges_free(struct ranges *ranges)
{
	free(ranges->list);
	memset(ranges, 0, sizeof(*ranges));
}

int ranges_complement(struct ranges *out, const struct ranges *ranges)
{
	struct range gap = {0, 0};
	int result = 0;
	size_t i;

	for (i = 0; i < ranges->count && !result; i++) {
		ASSERT(ranges->list[i].first <= ranges->list[i].last);
		ASSERT(gap.first <= ranges->list[i].first);
		if (ranges->list[i].first > gap.first) {
			gap.last = ranges->list[i].first - 1;
			result = ranges_add(out, gap);
		}
		if (ranges->list[i].last == UINT32_MAX)
			return result;
		gap.first = ranges->list[i].last + 1;
	}
	gap.last = UINT32_MAX;
	return result ? result : ranges_add(out, gap);
}
