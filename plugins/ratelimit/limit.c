/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "limit.h"

#include "holds.h"
#include "ratelimit.h"

#define BIT(op)      (1u << (op))
#define ECONNREFUSED 111u
#define NS_PER_S     1000000000ull
#define BURST_MAX    1000000u /* events; times an hour, in nanoseconds, still fits 64 bits */
#define BURST_MIN    65536u   /* bytes of a meter: less would cut streams into crumbs */
#define RATE_OPS     ((BIT(PVCALLS_OP_COUNT) - 1) & ~BIT(PVCALLS_OP_RELEASE))
#define SOCKET_OPS   (BIT(PVCALLS_OP_SOCKET) | BIT(PVCALLS_OP_CONNECT) | BIT(PVCALLS_OP_ACCEPT))
#define STREAM_OPS   (BIT(PVCALLS_OP_CONNECT) | BIT(PVCALLS_OP_ACCEPT))

typedef const struct pvcalls_value value_t;

/* The operations for which there is such a thing to count by. */
static uint32_t limit_ops_of(enum per per)
{
	switch (per) {
	case PER_DESTINATION:
		return BIT(PVCALLS_OP_CONNECT) | BIT(PVCALLS_OP_BIND);
	case PER_LISTENER:
		return BIT(PVCALLS_OP_LISTEN) | BIT(PVCALLS_OP_ACCEPT);
	case PER_PEER:
		return BIT(PVCALLS_OP_ACCEPT);
	case PER_GUEST:
		break;
	}
	return ~0u;
}

static int32_t limit_read_rate(const struct pvcalls_host *host, value_t *section, value_t *rate,
			       struct limit *limit)
{
	static const char *const words[] = {"deny", "delay"};
	value_t *burst = host->value_get(section, "burst");
	value_t *over = host->value_get(section, "over");
	uint32_t delays = 0;
	int32_t result = host->read_rate(host, rate, &limit->interval_ns);

	limit->kind = KIND_RATE;
	limit->burst = result ? 1 : NS_PER_S / limit->interval_ns;
	if (limit->burst < 1)
		limit->burst = 1;
	if (limit->burst > BURST_MAX)
		limit->burst = BURST_MAX;
	if (burst)
		result |= host->read_u64(host, burst, 1, BURST_MAX, &limit->burst);
	if (over)
		result |= host->read_choice(host, over, words, 2, &delays);
	limit->delays = delays;
	return result;
}

static int32_t limit_read_bandwidth(const struct pvcalls_host *host, value_t *section,
				    value_t *bandwidth, struct limit *limit)
{
	static const char *const words[] = {"both", "in", "out"};
	value_t *direction = host->value_get(section, "direction");
	uint32_t which = 0;
	int32_t result = host->read_bandwidth(host, bandwidth, &limit->bytes_per_s);

	limit->kind = KIND_BANDWIDTH;
	if (direction)
		result |= host->read_choice(host, direction, words, 3, &which);
	limit->in = which != 2;
	limit->out = which != 1;
	limit->burst = limit->bytes_per_s / 8; /* an eighth of a second */
	if (limit->burst < BURST_MIN)
		limit->burst = BURST_MIN;
	if (!result && limit->per == PER_GUEST) {
		limit->meter = host->meter(host, limit->id, limit->bytes_per_s, limit->burst);
		if (!limit->meter)
			result = host->error_at(host, section, "too many meters");
	}
	return result;
}

/* What is limited: exactly one of rate, concurrent and bandwidth. */
static int32_t limit_read_kind(const struct pvcalls_host *host, value_t *section,
			       struct limit *limit)
{
	value_t *rate = host->value_get(section, "rate");
	value_t *concurrent = host->value_get(section, "concurrent");
	value_t *bandwidth = host->value_get(section, "bandwidth");

	if (!rate + !concurrent + !bandwidth != 2)
		return host->error_at(host, section,
				      "expected exactly one of rate, concurrent and bandwidth");
	if (rate)
		return limit_read_rate(host, section, rate, limit);
	if (bandwidth)
		return limit_read_bandwidth(host, section, bandwidth, limit);
	limit->kind = KIND_CONCURRENT;
	return host->read_u64(host, concurrent, 1, HOLDS_MAX, &limit->concurrent);
}

/* The operations: each kind has its own, and bandwidth needs none to be named. */
static int32_t limit_read_on(const struct pvcalls_host *host, value_t *section, struct limit *limit)
{
	static const uint32_t allowed[] = {[KIND_RATE] = RATE_OPS,
					   [KIND_CONCURRENT] = SOCKET_OPS,
					   [KIND_BANDWIDTH] = STREAM_OPS};
	value_t *on = host->value_get(section, "on");

	limit->ops = allowed[limit->kind] & limit_ops_of(limit->per);
	if (on)
		return host->read_ops(host, on, limit->ops, &limit->ops);
	if (limit->kind == KIND_BANDWIDTH)
		return 0;
	return host->error_at(host, section, "on is missing; expected the operations to count");
}

int32_t limit_read(const struct pvcalls_host *host, value_t *section, struct limit *limit)
{
	static const char *const words[] = {"guest", "destination", "listener", "peer"};
	value_t *id = host->value_get(section, "id");
	value_t *per = host->value_get(section, "per");
	value_t *error = host->value_get(section, "errno");
	uint32_t which = PER_GUEST;
	int32_t result = 0;

	if (!id)
		return host->error_at(host, section, "not a limit; expected a map with an id");
	limit->error = ECONNREFUSED;
	result = host->read_id(host, id, limit->id);
	if (per)
		result |= host->read_choice(host, per, words, 4, &which);
	limit->per = (enum per)which;
	result |= limit_read_kind(host, section, limit);
	result |= limit_read_on(host, section, limit);
	if (error)
		result |= host->read_errno_for(host, error, limit->ops, &limit->error);
	return result;
}

static uint64_t limit_address_key(const struct pvcalls_endpoint *endpoint)
{
	return (uint64_t)endpoint->addr[0] << 40 | (uint64_t)endpoint->addr[1] << 32 |
	       (uint64_t)endpoint->addr[2] << 24 | (uint64_t)endpoint->addr[3] << 16;
}

/* What of a limit concerns a call, in 48 bits. */
static uint64_t limit_key(const struct limit *limit, const struct pvcalls_endpoint *remote,
			  const struct pvcalls_endpoint *local)
{
	switch (limit->per) {
	case PER_LISTENER:
		return limit_address_key(local) | local->port;
	case PER_DESTINATION:
	case PER_PEER:
		return limit_address_key(remote);
	case PER_GUEST:
		break;
	}
	return 0;
}

/* Under which number the host keeps it: one rule may have counted by something else before. */
static uint64_t limit_number(const struct limit *limit, uint64_t key)
{
	return (uint64_t)limit->per << 48 | key;
}

/* A rate that is met for the first time may be one that the guest has used before it restarted. */
static void limit_recall(const struct ratelimit *ratelimit, const struct limit *limit,
			 struct bucket *bucket, uint64_t key, uint64_t now_ns)
{
	const struct pvcalls_host *host = ratelimit->host;
	uint64_t latest = now_ns + limit->burst * limit->interval_ns;
	uint64_t until_ns;

	if (limit->kind != KIND_RATE)
		return;
	until_ns = host->recall(host, limit->id, limit_number(limit, key));
	if (until_ns > latest)
		until_ns = latest;
	if (until_ns > bucket->until_ns)
		bucket->until_ns = until_ns;
}

void limit_remember(const struct ratelimit *ratelimit, const struct limit *limit,
		    const struct bucket *bucket, const struct pvcalls_call *call)
{
	uint64_t key = limit_key(limit, &call->effective, &call->local);

	if (limit->kind == KIND_RATE)
		ratelimit->host->remember(ratelimit->host, limit->id, limit_number(limit, key),
					  bucket->until_ns);
}

struct bucket *limit_bucket(struct ratelimit *ratelimit, uint32_t index,
			    const struct pvcalls_endpoint *remote,
			    const struct pvcalls_endpoint *local, uint64_t now_ns)
{
	struct limit *limit = &ratelimit->limits[index];
	uint64_t key = limit_key(limit, remote, local);
	struct bucket *bucket = &limit->bucket;
	bool made = !limit->recalled;

	if (limit->per == PER_GUEST)
		limit->recalled = true;
	else
		bucket = buckets_get(&ratelimit->buckets, key | (uint64_t)(index + 1) << 48, now_ns,
				     &made);
	if (bucket && made)
		limit_recall(ratelimit, limit, bucket, key, now_ns);
	return bucket;
}
