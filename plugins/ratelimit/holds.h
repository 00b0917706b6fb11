/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which sockets count against which limits: a hash table by socket number with a free list. */
#ifndef RATELIMIT_HOLDS_H
#define RATELIMIT_HOLDS_H

#include <stdbool.h>

#include <pvcalls/plugin.h>

#define HOLDS_MAX 8192u /* calls whose sockets count against a limit */

/* One allowed call whose socket counts against limits, until it fails or the socket is released. */
struct hold {
	uint64_t serial;
	uint64_t socket; /* 0: free */
	uint64_t limits; /* bit n: limit n */
	struct pvcalls_endpoint remote;
	struct pvcalls_endpoint local;
	uint32_t next; /* in its chain, or among the free ones: 1 + index */
};

struct holds {
	struct hold *list; /* NULL: not opened */
	uint32_t *chains;  /* HOLDS_MAX, by socket */
	uint32_t free;
};

/* Returns 0, or -1 when there is no memory. */
int32_t holds_open(struct holds *holds, const struct pvcalls_host *host);
/* A hold for the caller to fill, already under its socket; NULL: too many. */
struct hold *holds_add(struct holds *holds, uint64_t socket);
/*
 * Takes out a hold of this socket and, unless serial is 0, of this call, into *hold. Whether there
 * was one.
 */
bool holds_take(struct holds *holds, uint64_t socket, uint64_t serial, struct hold *hold);

#endif
