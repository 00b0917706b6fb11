/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What both clients and the server share: the bytes that are sent, their hash, what a client asks
 * of the server, and the one line of results that bench/run.py reads.
 *
 * The bytes are a pattern whose length is a prime, so a run of bytes that is lost, doubled or
 * swapped at any offset changes the hash. The hash is two sums over 64-bit words, the cheapest that
 * notices order: both clients and the server pay it for every byte, and it must not be what is
 * measured.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOAD_CHUNK     (128u << 10) /* bytes of one send or receive, as iperf3 */
#define LOAD_PATTERN   65521u       /* a prime */
#define LOAD_HASH_STEP 64u          /* bytes hashed at once */
#define LOAD_SECONDS   30u          /* a program that takes longer ends itself */
#define LOAD_STREAMS   16u          /* the most of one client */

/* What a client asks for, as the first byte of a connection; LOAD_SINK to LOAD_ECHO name bytes. */
enum load_kind {
	LOAD_BYTE = 'B',   /* one byte back; the client closes */
	LOAD_SINK = 'S',   /* the client sends bytes, the server answers with their hash */
	LOAD_SOURCE = 'G', /* the server sends bytes */
	LOAD_ECHO = 'E',   /* each byte comes back */
};

struct load_request {
	uint8_t kind;   /* enum load_kind */
	uint8_t sample; /* a sink looks at samples instead of hashing every byte */
	uint8_t apart;  /* served by a process of its own: others come at the same time */
	uint8_t pad[5];
	uint64_t bytes;
};

struct load_hash {
	uint64_t sum[8];
	uint64_t order[8];
	size_t held; /* bytes of a step that is not complete */
	uint8_t rest[LOAD_HASH_STEP];
};

/* LOAD_CHUNK bytes of the endless pattern, from this offset on. */
const uint8_t *load_bytes(uint64_t offset);

void load_hash_start(struct load_hash *hash);
void load_hash_feed(struct load_hash *hash, const void *bytes, size_t size);
uint64_t load_hash_end(struct load_hash *hash);
/* The hash of that many bytes of the pattern. */
uint64_t load_hash_of(uint64_t bytes);

uint64_t load_now_ns(void);

/* When some work began, and what processor time the program had taken by then. */
struct load_start {
	uint64_t ns;
	uint64_t cpu_ns;
};
struct load_start load_start_now(void);
/* Prints why, with errno's text if it is set, and ends the program. */
void load_fail(const char *what) __attribute__((noreturn));

/* What the command line asks for. */
struct load_work {
	const char *verb; /* out, in, rtt, connect, dial */
	struct sockaddr_in server;
	uint64_t amount;       /* bytes, round trips or connections */
	uint32_t in_flight;    /* connections */
	uint32_t destinations; /* addresses from that of the server on, used in turn */
	bool byte;             /* connections: with a byte there and back */
	bool sample;           /* bytes are looked at here and there, not hashed */
	bool hold;             /* waits before the work and after it, see load_hold() */
	uint32_t streams;      /* that share the bytes of out and in */
	uint32_t idle;         /* connections that are there and do nothing */
	uint32_t dark;         /* connects that nobody answers, to the server's port and one */
	uint32_t listeners;    /* to which nobody comes */
	const char *runtime_dir;
	const char *name;
	uint32_t order;
};

/* Reads "VERB ADDRESS PORT AMOUNT [key=value...]"; ends the program if it can't. */
struct load_work load_parse(int argc, char **argv, const char *usage);
/* The address of the n-th connection. */
struct sockaddr_in load_destination(const struct load_work *work, uint64_t n);

/*
 * If the command line wants it: says "held" and waits for a line, so that whoever started the
 * program can look at processes while they do nothing, and count only what is done in between.
 */
void load_hold(const struct load_work *work);

/* The line of results of each verb. */
void load_say_bulk(uint64_t bytes, const struct load_start *start, bool sound);
void load_say_connects(uint64_t count, uint64_t failed, uint64_t ns);

/* Times of single round trips. */
struct load_times {
	uint64_t *ns;
	uint64_t count;
};
void load_times_start(struct load_times *times, uint64_t most);
void load_say_times(struct load_times *times, bool sound);

#endif
