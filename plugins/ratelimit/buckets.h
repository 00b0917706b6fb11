/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The allowances of destinations, listeners and peers, by key, in bounded memory. */
#ifndef RATELIMIT_BUCKETS_H
#define RATELIMIT_BUCKETS_H

#include <stdbool.h>

#include <pvcalls/plugin.h>

#define BUCKET_SETS 512u /* a power of two */
#define BUCKET_WAYS 8u

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
	struct bucket *list; /* BUCKET_SETS * BUCKET_WAYS; NULL: not opened */
	uint64_t seed;       /* unknown to those who choose addresses */
};

/* Returns 0, or -1 when there is no memory. */
int32_t buckets_open(struct buckets *buckets, const struct pvcalls_host *host);
/*
 * The bucket of key; when it is new (*made), one that is full and not held makes room. NULL: none
 * is.
 */
struct bucket *buckets_get(struct buckets *buckets, uint64_t key, uint64_t now_ns, bool *made);

#endif
