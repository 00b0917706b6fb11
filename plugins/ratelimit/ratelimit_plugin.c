/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ratelimit: so many calls per second, so many sockets at a time, so many bytes per second.
 *
 * Theory of operation. decide() asks all limits first and takes from them only when none says no,
 * so that a call which one limit denies costs nothing in another. A limit on sockets at a time is
 * taken by a hold, which observe() takes back when the call failed or another plugin denied it, and
 * when the socket is released. Bandwidth is the host's to enforce: the verdict names meters.
 */
#include <stdio.h>
#include <string.h>

#include "inherit.h"
#include "ratelimit.h"

#define OPS ((1u << PVCALLS_OP_COUNT) - 1)

static int32_t ratelimit_read_limits(struct ratelimit *ratelimit, const struct pvcalls_value *list)
{
	const struct pvcalls_host *host = ratelimit->host;
	const struct pvcalls_value *item;
	const struct limit *limit;
	bool in = false;
	bool out = false;
	int32_t result = 0;
	uint32_t i;

	for (i = 0; i < ratelimit->count; i++) {
		item = host->value_item(list, i);
		limit = &ratelimit->limits[i];
		result |= limit_read(host, item, &ratelimit->limits[i]);
		if ((limit->in && in) || (limit->out && out))
			result |= host->error_at(host, item,
						 "a second bandwidth for the same direction; "
						 "expected at most one each way");
		in |= limit->in;
		out |= limit->out;
	}
	return result;
}

/* Memory only for what the limits need. */
static int32_t ratelimit_open_tables(struct ratelimit *ratelimit)
{
	const struct limit *limit;
	bool counts = false;
	bool differs = false;
	uint32_t i;

	for (i = 0; i < ratelimit->count; i++) {
		limit = &ratelimit->limits[i];
		counts |= limit->kind == KIND_CONCURRENT;
		differs |= limit->kind != KIND_BANDWIDTH && limit->per != PER_GUEST;
	}
	if (differs && buckets_open(&ratelimit->buckets, ratelimit->host))
		return -1;
	return counts ? holds_open(&ratelimit->holds, ratelimit->host) : 0;
}

static void *ratelimit_create(const struct pvcalls_host *host, const struct pvcalls_value *section)
{
	const struct pvcalls_value *list = host->value_get(section, "limits");
	struct ratelimit *ratelimit = host->alloc(host, sizeof(*ratelimit));
	uint32_t count = host->value_count(list);

	if (host->value_kind(list) != PVCALLS_VALUE_LIST || count > LIMITS_MAX) {
		host->error_at(host, list ? list : section,
			       "no limits; expected a list of at most 64 limits");
		return NULL;
	}
	if (!ratelimit)
		return NULL;
	ratelimit->host = host;
	ratelimit->count = count;
	ratelimit->limits = host->alloc(host, (count + 1) * sizeof(*ratelimit->limits));
	if (!ratelimit->limits || ratelimit_read_limits(ratelimit, list) ||
	    ratelimit_open_tables(ratelimit))
		return NULL;
	return ratelimit;
}

static void limit_deny(const struct limit *limit, const char *reason,
		       struct pvcalls_verdict *verdict)
{
	verdict->kind = PVCALLS_DENY;
	verdict->error = limit->error;
	memcpy(verdict->rule, limit->id, sizeof(limit->id));
	snprintf(verdict->reason, sizeof(verdict->reason), "%s", reason);
}

/* How long until one more event is due: 0 when it is now. */
static uint64_t limit_wait_ns(const struct limit *limit, const struct bucket *bucket,
			      uint64_t now_ns)
{
	uint64_t from = bucket->until_ns > now_ns ? bucket->until_ns : now_ns;
	uint64_t full = from - now_ns + limit->interval_ns;

	return full > limit->burst * limit->interval_ns ? full - limit->burst * limit->interval_ns
							: 0;
}

/* Asks one limit. Whether the call may go on; *delay_ns grows to what the limit wants. */
static bool limit_ask(const struct limit *limit, const struct bucket *bucket, uint64_t now_ns,
		      uint64_t *delay_ns, struct pvcalls_verdict *verdict)
{
	uint64_t wait;

	if (!bucket) {
		limit_deny(limit, "too many different addresses to count", verdict);
		return false;
	}
	if (limit->kind == KIND_CONCURRENT) {
		if (bucket->count < limit->concurrent)
			return true;
		limit_deny(limit, "too many sockets at a time", verdict);
		return false;
	}
	wait = limit_wait_ns(limit, bucket, now_ns);
	if (wait && (!limit->delays || wait > PVCALLS_DELAY_MAX_NS)) {
		limit_deny(limit, "over the rate", verdict);
		return false;
	}
	if (wait > *delay_ns) {
		*delay_ns = wait;
		memcpy(verdict->rule, limit->id, sizeof(limit->id));
	}
	return true;
}

static void limit_take(const struct limit *limit, struct bucket *bucket, uint64_t now_ns)
{
	if (limit->kind == KIND_CONCURRENT) {
		bucket->count++;
		return;
	}
	if (bucket->until_ns < now_ns)
		bucket->until_ns = now_ns;
	bucket->until_ns += limit->interval_ns;
}

static void limit_attach_meter(const struct ratelimit *ratelimit, const struct limit *limit,
			       const struct pvcalls_call *call, struct pvcalls_verdict *verdict)
{
	const struct pvcalls_host *host = ratelimit->host;
	const struct pvcalls_endpoint *end =
		limit->per == PER_LISTENER ? &call->local : &call->effective;
	char key[PVCALLS_RULE_MAX + 24];
	uint32_t meter = limit->meter;

	if (limit->per != PER_GUEST) {
		snprintf(key, sizeof(key), "%s/%02x%02x%02x%02x.%x", limit->id, end->addr[0],
			 end->addr[1], end->addr[2], end->addr[3],
			 limit->per == PER_LISTENER ? end->port : 0u);
		meter = host->meter(host, key, limit->bytes_per_s, limit->burst);
	}
	if (!meter) {
		limit_deny(limit, "too many different addresses to count", verdict);
		return;
	}
	if (limit->in)
		verdict->meter_in = meter;
	if (limit->out)
		verdict->meter_out = meter;
}

/* Remembers the limits on sockets that the call counts against; false: there are too many. */
static bool ratelimit_hold(struct ratelimit *ratelimit, const struct pvcalls_call *call,
			   uint64_t limits)
{
	struct hold *made;

	if (!limits)
		return true;
	made = holds_add(&ratelimit->holds, call->socket);
	if (!made)
		return false;
	made->serial = call->serial;
	made->limits = limits;
	made->remote = call->effective;
	made->local = call->local;
	return true;
}

static void ratelimit_decide(void *instance, const struct pvcalls_call *call,
			     struct pvcalls_verdict *verdict)
{
	struct bucket *buckets[LIMITS_MAX] = {NULL};
	struct ratelimit *ratelimit = instance;
	const struct limit *limit;
	uint64_t holds = 0;
	uint32_t i;

	for (i = 0; i < ratelimit->count; i++) {
		limit = &ratelimit->limits[i];
		if (!(limit->ops & 1u << call->op))
			continue;
		if (limit->kind == KIND_BANDWIDTH) {
			limit_attach_meter(ratelimit, limit, call, verdict);
			continue;
		}
		buckets[i] = limit_bucket(ratelimit, i, &call->effective, &call->local,
					  call->monotonic_ns);
		if (!limit_ask(limit, buckets[i], call->monotonic_ns, &verdict->delay_ns, verdict))
			return;
		if (limit->kind == KIND_CONCURRENT)
			holds |= 1ull << i;
	}
	if (verdict->kind == PVCALLS_DENY)
		return;
	if (!ratelimit_hold(ratelimit, call, holds)) {
		limit_deny(&ratelimit->limits[__builtin_ctzll(holds)], "too many sockets", verdict);
		return;
	}
	for (i = 0; i < ratelimit->count; i++)
		if (buckets[i]) {
			limit_take(&ratelimit->limits[i], buckets[i], call->monotonic_ns);
			limit_remember(ratelimit, &ratelimit->limits[i], buckets[i], call);
		}
	if (verdict->delay_ns)
		verdict->kind = PVCALLS_DELAY;
}

/* Gives back what a hold that was taken out held. */
static void ratelimit_give_back(struct ratelimit *ratelimit, const struct hold *held,
				uint64_t now_ns)
{
	struct bucket *bucket;
	uint32_t i;

	for (i = 0; i < ratelimit->count; i++) {
		if (!(held->limits >> i & 1))
			continue;
		bucket = limit_bucket(ratelimit, i, &held->remote, &held->local, now_ns);
		if (bucket && bucket->count)
			bucket->count--;
	}
}

static void ratelimit_observe(void *instance, const struct pvcalls_call *call,
			      const struct pvcalls_outcome *outcome)
{
	struct ratelimit *ratelimit = instance;
	struct hold held;

	if (!ratelimit->holds.list)
		return;
	if (call->op == PVCALLS_OP_RELEASE)
		while (holds_take(&ratelimit->holds, call->socket, 0, &held))
			ratelimit_give_back(ratelimit, &held, call->monotonic_ns);
	else if (outcome->verdict != PVCALLS_ALLOW || outcome->result < 0)
		while (holds_take(&ratelimit->holds, call->socket, call->serial, &held))
			ratelimit_give_back(ratelimit, &held, call->monotonic_ns);
}

PVCALLS_PLUGIN(.name = "ratelimit", .version = "1.0",
	       .description = "limits calls per second, sockets at a time and bytes per second",
	       .ops = OPS, .create = ratelimit_create, .inherit = ratelimit_inherit,
	       .decide = ratelimit_decide, .observe = ratelimit_observe);
