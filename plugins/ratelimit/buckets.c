/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Buckets for destinations, listeners and peers, in bounded memory. A bucket that is full of tokens
 * and that nothing holds is as good as a new one, so it may be replaced; when all places of a key
 * are in use, the call is denied: a limit never gives way because there is much to count.
 */
#include "buckets.h"

#define SET_BITS 9 /* BUCKET_SETS */

_Static_assert(1u << SET_BITS == BUCKET_SETS, "bits of a set's number");

int32_t buckets_open(struct buckets *buckets, const struct pvcalls_host *host)
{
	buckets->list =
		host->alloc(host, (size_t)BUCKET_SETS * BUCKET_WAYS * sizeof(*buckets->list));
	if (!buckets->list)
		return -1;
	/* The clock's low digits and where memory happens to lie: not for others to know. */
	buckets->seed = host->monotonic_ns(host) ^ (uint64_t)(uintptr_t)buckets->list << 32;
	return 0;
}

static uint64_t bucket_key_mix(uint64_t number)
{
	number *= 0xff51afd7ed558ccdu;
	number ^= number >> 33;
	number *= 0xc4ceb9fe1a85ec53u;
	return number;
}

struct bucket *buckets_get(struct buckets *buckets, uint64_t key, uint64_t now_ns, bool *made)
{
	uint64_t mixed = bucket_key_mix(key ^ buckets->seed);
	struct bucket *set = &buckets->list[(mixed >> (64 - SET_BITS)) * BUCKET_WAYS];
	struct bucket *spare = NULL;
	uint32_t i;

	for (i = 0; i < BUCKET_WAYS; i++) {
		if (set[i].key == key)
			break;
		/* Not later than now, so that no call takes away what it was given a moment ago. */
		if (set[i].count || set[i].until_ns >= now_ns)
			continue;
		if (!spare || set[i].until_ns < spare->until_ns)
			spare = &set[i];
	}
	*made = i == BUCKET_WAYS && spare;
	if (i < BUCKET_WAYS)
		spare = &set[i];
	else if (spare)
		*spare = (struct bucket){.key = key};
	if (spare && spare->until_ns < now_ns)
		spare->until_ns = now_ns;
	return spare;
}
