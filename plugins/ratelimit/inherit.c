/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "inherit.h"

#include <string.h>

#include "ratelimit.h"

/* The limit of this id and shape that the policy before had: its number, or LIMITS_MAX. */
static uint32_t inherit_find_limit(const struct ratelimit *ratelimit, const struct limit *like)
{
	uint32_t i;

	for (i = 0; i < ratelimit->count; i++)
		if (strcmp(ratelimit->limits[i].id, like->id) == 0 &&
		    ratelimit->limits[i].kind == like->kind &&
		    ratelimit->limits[i].per == like->per)
			return i;
	return LIMITS_MAX;
}

/* A bucket's state under a new limit: no emptier than the new limit can be. */
static void inherit_bucket(const struct limit *limit, struct bucket *bucket,
			   const struct bucket *before, uint64_t now_ns)
{
	uint64_t latest = now_ns + limit->burst * limit->interval_ns;

	if (!bucket || limit->kind != KIND_RATE)
		return;
	bucket->until_ns = before->until_ns < latest ? before->until_ns : latest;
}

static void inherit_hold(struct ratelimit *ratelimit, const struct ratelimit *previous,
			 const struct hold *before, uint64_t now_ns)
{
	struct bucket *bucket;
	struct hold *held;
	uint64_t limits = 0;
	uint32_t at;
	uint32_t i;

	for (i = 0; i < previous->count; i++) {
		at = before->limits >> i & 1 ? inherit_find_limit(ratelimit, &previous->limits[i])
					     : LIMITS_MAX;
		bucket = at == LIMITS_MAX ? NULL
					  : limit_bucket(ratelimit, at, &before->remote,
							 &before->local, now_ns);
		if (!bucket)
			continue;
		bucket->count++;
		limits |= 1ull << at;
	}
	held = limits ? holds_add(&ratelimit->holds, before->socket) : NULL;
	if (!held)
		return;
	held->serial = before->serial;
	held->limits = limits;
	held->remote = before->remote;
	held->local = before->local;
}

void ratelimit_inherit(void *instance, void *before)
{
	struct ratelimit *ratelimit = instance;
	const struct ratelimit *previous = before;
	uint64_t now_ns = ratelimit->host->monotonic_ns(ratelimit->host);
	const struct bucket *bucket;
	uint64_t key;
	bool made;
	uint32_t at;
	uint32_t i;

	for (i = 0; i < previous->count; i++) {
		at = inherit_find_limit(ratelimit, &previous->limits[i]);
		if (at != LIMITS_MAX)
			inherit_bucket(&ratelimit->limits[at], &ratelimit->limits[at].bucket,
				       &previous->limits[i].bucket, now_ns);
	}
	for (i = 0; previous->buckets.list && i < BUCKET_SETS * BUCKET_WAYS; i++) {
		bucket = &previous->buckets.list[i];
		at = bucket->key ? inherit_find_limit(ratelimit,
						      &previous->limits[(bucket->key >> 48) - 1])
				 : LIMITS_MAX;
		if (at == LIMITS_MAX)
			continue;
		key = (bucket->key & 0xffffffffffffull) | (uint64_t)(at + 1) << 48;
		inherit_bucket(&ratelimit->limits[at],
			       buckets_get(&ratelimit->buckets, key, now_ns, &made), bucket,
			       now_ns);
	}
	for (i = 0; previous->holds.list && i < HOLDS_MAX; i++)
		if (previous->holds.list[i].socket)
			inherit_hold(ratelimit, previous, &previous->holds.list[i], now_ns);
}
