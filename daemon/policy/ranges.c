/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/ranges.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/decimal.h"

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

static int by_first(const void *a, const void *b)
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
	qsort(ranges->list, ranges->count, sizeof(*ranges->list), by_first);
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

/* Moves *text behind a number. Leading zeros are refused: to many programs they mean octal. */
static int number_read(const char **text, uint32_t max, uint32_t *out)
{
	const char *end;
	uint64_t number;
	int error = decimal_read_head(*text, &end, max, &number);

	if (error)
		return error;
	if (**text == '0' && end != *text + 1)
		return -EINVAL;
	*text = end;
	*out = (uint32_t)number;
	return 0;
}

static int quad_read(const char **text, uint32_t *address)
{
	uint32_t part;
	int i;

	*address = 0;
	for (i = 0; i < 4; i++) {
		if (i && *(*text)++ != '.')
			return -EINVAL;
		if (number_read(text, 255, &part))
			return -EINVAL;
		*address = *address << 8 | part;
	}
	return 0;
}

int address_read(const char *text, uint32_t *address)
{
	if (quad_read(&text, address) || *text)
		return -EINVAL;
	return 0;
}

int prefix_read(const char *text, struct range *range, const char **problem)
{
	uint32_t bits = 32;
	uint32_t host;

	*problem = "no IPv4 address; expected a.b.c.d or a.b.c.d/bits";
	if (quad_read(&text, &range->first))
		return -EINVAL;
	if (*text == '/') {
		text++;
		*problem = "bad prefix length; expected /0 to /32";
		if (number_read(&text, 32, &bits))
			return -EINVAL;
	}
	if (*text)
		return -EINVAL;
	host = bits ? (uint32_t)((1ull << (32 - bits)) - 1) : UINT32_MAX;
	*problem = "bits behind the prefix are set; expected them to be 0";
	if (range->first & host)
		return -EINVAL;
	range->last = range->first | host;
	return 0;
}

int port_range_read(const char *text, struct range *range, const char **problem)
{
	*problem = "no port; expected 0 to 65535, or a range like 8000-8100";
	if (number_read(&text, UINT16_MAX, &range->first))
		return -EINVAL;
	range->last = range->first;
	if (*text == '-') {
		text++;
		if (number_read(&text, UINT16_MAX, &range->last))
			return -EINVAL;
	}
	if (*text)
		return -EINVAL;
	*problem = "the range ends before it begins; expected first-last";
	return range->first <= range->last ? 0 : -EINVAL;
}
