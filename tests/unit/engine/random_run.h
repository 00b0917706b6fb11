/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest that acts by chance, with its peers, its policy, its operator and the writer of its
 * trail: the steps of test_random_calls.c. All is drawn from one seed.
 */
#ifndef RANDOM_RUN_H
#define RANDOM_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "call_ledger.h"
#include "guest_calls.h"

#define RANDOM_NAMES        18u  /* of sockets: few, so that they collide; more than may be */
#define RANDOM_RINGS        8u   /* of the guest's pages */
#define RANDOM_PEERS        24u  /* descriptors of the host's ends */
#define RANDOM_SOCKET_BYTES 2048 /* buffers, so small that streams stall */

/* Whose a ring is: of a request that is not answered, of a connection, or nobody's. */
enum ring_use { RING_FREE, RING_ASKED, RING_OPEN };

struct ring_state {
	enum ring_use use;
	uint64_t id; /* RING_OPEN: the socket */
};

/* Zeroed but for the seed, then what test_random_calls.c makes of it. */
struct random_run {
	uint64_t seed;
	uint64_t state; /* of the generator */
	struct engine_guest *guest;
	int listener; /* of the host */
	uint16_t port;
	int busy_listener; /* whose backlog is full: connecting to it takes long */
	uint16_t busy_port;
	int backlog[4]; /* what fills it */
	int peers[RANDOM_PEERS];
	struct ring_state rings[RANDOM_RINGS];
	struct call_ledger ledger;
	uint32_t kills;  /* recorded ones; the RELEASE that follows is not */
	int filler;      /* whose end holds all room for copies of released sockets; -1 */
	bool stalled;    /* the writer takes nothing */
	int descriptors; /* of this process, beside those that are counted */
	uint64_t calls;
};

/* A number below limit. */
uint32_t random_below(struct random_run *run, uint32_t limit);

/* Puts a request on the ring, which has room; ring as in struct asked. */
void random_push(struct random_run *run, struct wire_request *request, uint32_t ring);
/* Lets the engine work, takes its answers and, unless it is stalled, stores its records. */
void random_turn(struct random_run *run);
/* As random_turn(), after longer than most calls are delayed. */
void random_pass_time(struct random_run *run);
/* The writer takes and commits what is done, unless it is stalled. */
void random_store(struct random_run *run);

/* The guest makes a call, mostly one that makes sense. */
void random_ask(struct random_run *run);
/* A stream of the guest sends, reads or ends. */
void random_move_bytes(struct random_run *run);
/* A peer connects, accepts, sends, reads, closes or resets. */
void random_peer(struct random_run *run);
/* The operator kills a socket. */
void random_kill(struct random_run *run);
/* The policy is replaced by another one. */
void random_policy(struct random_run *run);
/* The writer stalls, with at most two slots free; or it goes on. */
void random_stall(struct random_run *run);
/* All peers go, those that nobody has accepted yet among them. */
void random_peers_close(struct random_run *run);

#endif
