/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A backend for tests, in a thread of the test: speaks local_wire.h and serves rings, and breaks
 * the rules when told to. The port that a guest connects to says what the stream does; connections
 * for listeners come from fake_backend_offer().
 */
#ifndef TESTS_FRONTEND_FAKE_BACKEND_H
#define TESTS_FRONTEND_FAKE_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include "ring/layout.h"

#define FAKE_ECHO        7  /* sends back what it gets */
#define FAKE_DISCARD     9  /* takes everything */
#define FAKE_HELLO       10 /* says "hello\n", then EOF */
#define FAKE_RESET       11 /* resets on the first byte, never tells its address */
#define FAKE_MUTE        12 /* takes nothing, says nothing */
#define FAKE_CHARGEN     19 /* sends 1 MiB of a pattern, then EOF */
#define FAKE_HANG        20 /* CONNECT is answered when released, with ECANCELED */
#define FAKE_SLOW        21 /* CONNECT is answered after 100 ms, then echo */
#define FAKE_BAD_IN      22 /* an in_prod out of range */
#define FAKE_BAD_OUT     23 /* an out_cons out of range */
#define FAKE_HELD_REFUSE 24 /* as FAKE_HELD, with ECONNREFUSED */
#define FAKE_ANSWER      25 /* takes everything, and after the end says how many bytes, then EOF */
#define FAKE_HELD        26 /* CONNECT is answered when one to FAKE_GO comes, then echo */
#define FAKE_GO          27 /* answers those, then ECONNREFUSED */
#define FAKE_ERRNO       1000 /* port 1000 + n: CONNECT fails with errno n */

#define FAKE_LOCAL_PORT 1234 /* what streams are told to have */

struct fake_backend;

struct fake_backend_options {
	uint32_t refuse;      /* errno for HELLO */
	const char *versions; /* NULL: "1" */
	uint32_t max_order;   /* 0: 9 */
	bool no_names;
	bool names_at_once; /* tells all names without being asked */
	bool no_half_close;
	bool never_connected; /* stops at state 2 */
	bool bad_response;    /* answers a request nobody made */
	bool parks;           /* takes every CONNECT and ACCEPT that waits out of the ring */
	bool bad_ticket;      /* and gives all of them the same ticket */
};

/* Starts serving one guest at directory/local.sock. */
struct fake_backend *fake_backend_start(const char *directory,
					const struct fake_backend_options *options);
/* Ends the thread as if the daemon had been killed, and frees everything. */
void fake_backend_stop(struct fake_backend *fake);
/* The connection to the guest breaks; the thread stays. */
void fake_backend_die(struct fake_backend *fake);
/* A connection from `port` to the guest's listener on `listener` arrives (mode FAKE_ECHO, ...). */
void fake_backend_offer(struct fake_backend *fake, uint16_t listener_port, uint16_t mode);

/* What was seen so far. */
struct fake_backend_counts {
	unsigned sockets, connects, releases, binds, listens, accepts, polls, open;
	unsigned ends;         /* half closes */
	unsigned asked;        /* streams of which the own address was asked for */
	unsigned most_in_ring; /* requests without an answer, after a look at the ring */
	uint64_t bytes;        /* taken from out rings */
	unsigned state;        /* the guest's xenbus state */
};
struct fake_backend_counts fake_backend_counts(struct fake_backend *fake);
/* What was seen of a guest that has ended, once all that it had said is taken; waits at most 10 s.
 */
struct fake_backend_counts fake_backend_counts_at_end(struct fake_backend *fake);

#endif
