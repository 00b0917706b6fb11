/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One limit: as it is read, and the bucket that it keeps for a call. */
#ifndef RATELIMIT_LIMIT_H
#define RATELIMIT_LIMIT_H

#include <stdbool.h>

#include <pvcalls/plugin.h>

#include "buckets.h"

/* What has its own allowance. */
enum per {
	PER_GUEST,
	PER_DESTINATION, /* address of connect and bind */
	PER_LISTENER,    /* address and port that accept or listen happens on */
	PER_PEER,        /* address of the peer of accept */
};

enum kind {
	KIND_RATE,
	KIND_CONCURRENT,
	KIND_BANDWIDTH,
};

struct limit {
	char id[PVCALLS_RULE_MAX];
	enum kind kind;
	enum per per;
	uint32_t ops;
	uint32_t error;
	bool delays;          /* over: delay */
	uint64_t interval_ns; /* rate: from one event to the next */
	uint64_t burst;       /* rate: events at once; bandwidth: bytes */
	uint64_t concurrent;
	uint64_t bytes_per_s;
	bool in;
	bool out;
	uint32_t meter;       /* bandwidth per guest */
	struct bucket bucket; /* per guest */
	bool recalled;        /* and it has been asked what the guest had left of it */
};

struct ratelimit; /* ratelimit.h */

/* Reads one entry of `limits`. Returns 0, or -1 after the error was told. */
int32_t limit_read(const struct pvcalls_host *host, const struct pvcalls_value *section,
		   struct limit *limit);
/* Has the host keep what a rate stands at, beyond the end of the guest. */
void limit_remember(const struct ratelimit *ratelimit, const struct limit *limit,
		    const struct bucket *bucket, const struct pvcalls_call *call);
/* The bucket of a limit that concerns a call, made if need be; NULL: no place is left. */
struct bucket *limit_bucket(struct ratelimit *ratelimit, uint32_t index,
			    const struct pvcalls_endpoint *remote,
			    const struct pvcalls_endpoint *local, uint64_t now_ns);

#endif
