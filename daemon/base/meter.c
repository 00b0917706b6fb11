/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/meter.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/clock.h"

/* Passing fewer bytes than this part of the burst at once would only cost wake-ups. */
#define USEFUL_PART 16

/* Then whoever waits asks again: the rate may have been changed meanwhile. */
#define LONGEST_WAIT_NS 60000000000ull /* 60 s */

struct meter *meter_create(uint64_t bytes_per_s, uint64_t burst, uint64_t now_ns)
{
	struct meter *meter = calloc(1, sizeof(*meter));

	if (!meter)
		return NULL;
	meter_set(meter, bytes_per_s, burst);
	meter->tokens = meter->burst;
	meter->filled_ns = now_ns;
	meter->refs = 1;
	return meter;
}

struct meter *meter_ref(struct meter *meter)
{
	ASSERT(meter->refs > 0);
	meter->refs++;
	return meter;
}

void meter_unref(struct meter *meter)
{
	if (!meter)
		return;
	ASSERT(meter->refs > 0);
	if (--meter->refs == 0)
		free(meter);
}

void meter_set(struct meter *meter, uint64_t bytes_per_s, uint64_t burst)
{
	meter->bytes_per_s = bytes_per_s ? bytes_per_s : 1;
	meter->burst = burst ? burst : 1;
	if (meter->tokens > meter->burst)
		meter->tokens = meter->burst;
}

static uint64_t meter_useful(const struct meter *meter)
{
	return meter->burst / USEFUL_PART + 1;
}

static void meter_refill(struct meter *meter, uint64_t now_ns)
{
	__uint128_t earned;

	if (now_ns <= meter->filled_ns)
		return;
	earned = (__uint128_t)(now_ns - meter->filled_ns) * meter->bytes_per_s / NS_PER_S;
	/* Time is used up only with the bytes it earned, or slow meters would never fill. */
	if (earned == 0)
		return;
	if (earned >= meter->burst - meter->tokens) {
		meter->tokens = meter->burst;
		meter->filled_ns = now_ns;
		return;
	}
	meter->tokens += (uint64_t)earned;
	meter->filled_ns += (uint64_t)(earned * NS_PER_S / meter->bytes_per_s);
}

size_t meter_allows(struct meter *meter, size_t want, uint64_t now_ns)
{
	if (!meter)
		return want;
	meter_refill(meter, now_ns);
	if (meter->counts_only)
		return want;
	if (meter->tokens < meter_useful(meter) && meter->tokens < want)
		return 0;
	return want < meter->tokens ? want : (size_t)meter->tokens;
}

size_t meter_take(struct meter *meter, size_t bytes)
{
	size_t over;

	if (!meter)
		return 0;
	over = bytes > meter->tokens ? bytes - (size_t)meter->tokens : 0;
	meter->tokens -= bytes - over;
	meter->over += over;
	return over;
}

uint64_t meter_full_ns(const struct meter *meter)
{
	__uint128_t wait = (__uint128_t)(meter->burst - meter->tokens) * NS_PER_S;

	wait = (wait + meter->bytes_per_s - 1) / meter->bytes_per_s + meter->filled_ns;
	return wait < UINT64_MAX ? (uint64_t)wait : UINT64_MAX;
}

void meter_drain(struct meter *meter, uint64_t until_ns, uint64_t now_ns)
{
	__uint128_t missing;

	if (until_ns <= now_ns)
		return;
	meter_refill(meter, now_ns);
	missing = (__uint128_t)(until_ns - now_ns) * meter->bytes_per_s / NS_PER_S;
	if (missing >= meter->burst)
		meter->tokens = 0;
	else if (meter->tokens > meter->burst - (uint64_t)missing)
		meter->tokens = meter->burst - (uint64_t)missing;
}

uint64_t meter_ready_ns(const struct meter *meter, uint64_t now_ns)
{
	uint64_t useful = meter_useful(meter);
	__uint128_t wait;

	if (meter->tokens >= useful)
		return now_ns;
	wait = (__uint128_t)(useful - meter->tokens) * NS_PER_S / meter->bytes_per_s + 1;
	return now_ns + (wait < LONGEST_WAIT_NS ? (uint64_t)wait : LONGEST_WAIT_NS);
}
