/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parts of the ratelimit plugin. */
#ifndef RATELIMIT_H
#define RATELIMIT_H

#include <stdbool.h>
#include <stddef.h>

#include <pvcalls/plugin.h>

#define LIMITS_MAX 64u /* of one section: a hold remembers them as bits */

#define BUCKET_SETS 512u /* a power of two */
#define BUCKET_WAYS 8u
#define HOLDS_MAX   8192u /* calls whose sockets count against a limit */

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

/*
 * One allowance. A rate is kept as the time at which all that was taken will have been given back:
 * full when that is past.
 */
struct bucket {
	uint64_t key; /* 0: free */
	uint64_t until_ns;
	uint32_t count; /* concurrent: sockets that hold it */
};

/* Buckets by key: each key has BUCKET_WAYS places where it may be. */
struct buckets {
	struct bucket *list; /* BUCKET_SETS * BUCKET_WAYS */
	uint64_t seed;       /* unknown to those who choose addresses */
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
};

/* One allowed call whose socket counts against limits, until it fails or the socket is released. */
struct hold {
	uint64_t serial;
	uint64_t socket;
	uint64_t limits; /* bit n: limit n */
	struct pvcalls_endpoint remote;
	struct pvcalls_endpoint local;
	uint32_t next; /* in its chain, or among the free ones: 1 + index */
};

struct holds {
	struct hold *list;
	uint32_t *chains; /* HOLDS_MAX, by socket */
	uint32_t free;
};

struct ratelimit {
	const struct pvcalls_host *host;
	struct limit *limits;
	uint32_t count;
	struct buckets buckets;
	struct holds holds;
};

/* Reads one entry of `limits`. Returns 0, or -1 after the error was told. */
int32_t limit_read(const struct pvcalls_host *host, const struct pvcalls_value *section,
		   struct limit *limit);
/* The bucket of a limit that concerns a call, made if need be; NULL: no place is left. */
struct bucket *limit_bucket(struct ratelimit *ratelimit, uint32_t index,
			    const struct pvcalls_endpoint *remote,
			    const struct pvcalls_endpoint *local, uint64_t now_ns);

/* The plugin's inherit hook. */
void ratelimit_inherit(void *instance, void *before);

/* Returns 0, or -1 when there is no memory. */
int32_t buckets_open(struct buckets *buckets, const struct pvcalls_host *host);
/* The bucket of key; when it is new, one that is full and not held makes room. NULL: none is. */
struct bucket *buckets_get(struct buckets *buckets, uint64_t key, uint64_t now_ns);

int32_t holds_open(struct holds *holds, const struct pvcalls_host *host);
/* A hold for the caller to fill, already under its socket; NULL: too many. */
struct hold *holds_add(struct holds *holds, uint64_t socket);
/*
 * Takes out a hold of this socket and, unless serial is 0, of this call, into *hold. Whether there
 * was one.
 */
bool holds_take(struct holds *holds, uint64_t socket, uint64_t serial, struct hold *hold);

#endif
