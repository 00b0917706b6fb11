/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* One register's worth of words; the compiler splits it where registers are smaller. */
typedef uint64_t lanes __attribute__((vector_size(32), aligned(8), may_alias));

const uint8_t *load_bytes(uint64_t offset)
{
	static uint8_t pattern[LOAD_PATTERN + LOAD_CHUNK];
	static bool made;
	uint64_t state = 1;

	if (!made) {
		for (size_t i = 0; i < LOAD_PATTERN; i++) {
			state = state * 6364136223846793005ull + 1442695040888963407ull;
			pattern[i] = (uint8_t)(state >> 56);
		}
		for (size_t i = LOAD_PATTERN; i < sizeof(pattern); i++)
			pattern[i] = pattern[i - LOAD_PATTERN];
		made = true;
	}
	return pattern + offset % LOAD_PATTERN;
}

void load_hash_start(struct load_hash *hash)
{
	memset(hash, 0, sizeof(*hash));
}

static void load_hash_steps(struct load_hash *hash, const uint8_t *bytes, size_t steps)
{
	lanes sum[2];
	lanes order[2];

	memcpy(sum, hash->sum, sizeof(sum));
	memcpy(order, hash->order, sizeof(order));
	for (; steps > 0; steps--, bytes += LOAD_HASH_STEP) {
		lanes word[2];

		memcpy(word, bytes, sizeof(word));
		sum[0] += word[0];
		sum[1] += word[1];
		order[0] += sum[0];
		order[1] += sum[1];
	}
	memcpy(hash->sum, sum, sizeof(sum));
	memcpy(hash->order, order, sizeof(order));
}

void load_hash_feed(struct load_hash *hash, const void *bytes, size_t size)
{
	const uint8_t *next = bytes;

	if (hash->held > 0) {
		size_t lacks = LOAD_HASH_STEP - hash->held;
		size_t part = size < lacks ? size : lacks;

		memcpy(hash->rest + hash->held, next, part);
		hash->held += part;
		next += part;
		size -= part;
		if (hash->held < LOAD_HASH_STEP)
			return;
		load_hash_steps(hash, hash->rest, 1);
		hash->held = 0;
	}
	load_hash_steps(hash, next, size / LOAD_HASH_STEP);
	hash->held = size % LOAD_HASH_STEP;
	memcpy(hash->rest, next + size - hash->held, hash->held);
}

uint64_t load_hash_end(struct load_hash *hash)
{
	uint64_t result = hash->held;

	memset(hash->rest + hash->held, 0, LOAD_HASH_STEP - hash->held);
	load_hash_steps(hash, hash->rest, 1);
	for (size_t i = 0; i < 8; i++)
		result = (result ^ hash->sum[i]) * 0x9e3779b97f4a7c15ull + hash->order[i];
	return result;
}

uint64_t load_hash_of(uint64_t bytes)
{
	struct load_hash hash;

	load_hash_start(&hash);
	for (uint64_t done = 0; done < bytes;) {
		uint64_t part = bytes - done < LOAD_CHUNK ? bytes - done : LOAD_CHUNK;

		load_hash_feed(&hash, load_bytes(done), part);
		done += part;
	}
	return load_hash_end(&hash);
}

static uint64_t load_clock_ns(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t load_now_ns(void)
{
	return load_clock_ns(CLOCK_MONOTONIC);
}

struct load_start load_start_now(void)
{
	return (struct load_start){load_now_ns(), load_clock_ns(CLOCK_PROCESS_CPUTIME_ID)};
}

void load_fail(const char *what)
{
	if (errno)
		fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	else
		fprintf(stderr, "bench: %s\n", what);
	exit(1);
}

static void load_set_option(struct load_work *work, const char *option)
{
	const char *value = strchr(option, '=');
	size_t key = value ? (size_t)(value - option) : 0;

	errno = 0;
	if (!value)
		load_fail("an option is not key=value");
	value++;
	if (strncmp(option, "in-flight", key) == 0)
		work->in_flight = (uint32_t)strtoul(value, NULL, 10);
	else if (strncmp(option, "destinations", key) == 0)
		work->destinations = (uint32_t)strtoul(value, NULL, 10);
	else if (strncmp(option, "byte", key) == 0)
		work->byte = strcmp(value, "1") == 0;
	else if (strncmp(option, "sample", key) == 0)
		work->sample = strcmp(value, "1") == 0;
	else if (strncmp(option, "hold", key) == 0)
		work->hold = strcmp(value, "1") == 0;
	else if (strncmp(option, "streams", key) == 0)
		work->streams = (uint32_t)strtoul(value, NULL, 10);
	else if (strncmp(option, "idle", key) == 0)
		work->idle = (uint32_t)strtoul(value, NULL, 10);
	else if (strncmp(option, "dark", key) == 0)
		work->dark = (uint32_t)strtoul(value, NULL, 10);
	else if (strncmp(option, "listeners", key) == 0)
		work->listeners = (uint32_t)strtoul(value, NULL, 10);
	else if (strncmp(option, "runtime-dir", key) == 0)
		work->runtime_dir = value;
	else if (strncmp(option, "name", key) == 0)
		work->name = value;
	else if (strncmp(option, "order", key) == 0)
		work->order = (uint32_t)strtoul(value, NULL, 10);
	else
		load_fail("an option has an unknown key");
}

struct load_work load_parse(int argc, char **argv, const char *usage)
{
	struct load_work work = {.in_flight = 1, .destinations = 1, .streams = 1, .order = 9};

	if (argc < 5) {
		fprintf(stderr, "usage: %s\n", usage);
		exit(2);
	}
	/* SIGALRM ends a run that hangs, so that it can't be left behind. */
	alarm(LOAD_SECONDS);
	work.verb = argv[1];
	work.server.sin_family = AF_INET;
	work.server.sin_port = htons((uint16_t)strtoul(argv[3], NULL, 10));
	work.amount = strtoull(argv[4], NULL, 10);
	for (int i = 5; i < argc; i++)
		load_set_option(&work, argv[i]);
	errno = 0;
	if (inet_pton(AF_INET, argv[2], &work.server.sin_addr) != 1 || work.amount == 0 ||
	    work.in_flight == 0 || work.destinations == 0 || work.streams == 0 ||
	    work.streams > LOAD_STREAMS || work.amount % work.streams != 0)
		load_fail("the address or a number makes no sense");
	return work;
}

struct sockaddr_in load_destination(const struct load_work *work, uint64_t n)
{
	struct sockaddr_in address = work->server;
	uint32_t first = ntohl(address.sin_addr.s_addr);

	address.sin_addr.s_addr = htonl(first + (uint32_t)(n % work->destinations));
	return address;
}

void load_hold(const struct load_work *work)
{
	char line[8];

	if (!work->hold)
		return;
	puts("held");
	fflush(stdout);
	errno = 0;
	if (!fgets(line, sizeof(line), stdin))
		load_fail("nobody said when to go on");
}

void load_say_bulk(uint64_t bytes, const struct load_start *start, bool sound)
{
	struct load_start end = load_start_now();
	uint64_t ns = end.ns - start->ns;

	printf("sound=%d gbit=%.3f seconds=%.6f cpu=%.6f\n", sound, (double)bytes * 8 / (double)ns,
	       (double)ns / 1e9, (double)(end.cpu_ns - start->cpu_ns) / 1e9);
}

void load_say_connects(uint64_t count, uint64_t failed, uint64_t ns)
{
	printf("sound=%d rate=%.1f seconds=%.6f failed=%llu\n", failed == 0,
	       (double)count * 1e9 / (double)ns, (double)ns / 1e9, (unsigned long long)failed);
}

void load_times_start(struct load_times *times, uint64_t most)
{
	times->ns = calloc(most, sizeof(*times->ns));
	times->count = 0;
	if (!times->ns)
		load_fail("no memory for the times");
}

static int load_compare(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left;
	uint64_t b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

void load_say_times(struct load_times *times, bool sound)
{
	size_t middle = times->count / 2;
	size_t late = times->count * 99 / 100;

	qsort(times->ns, times->count, sizeof(*times->ns), load_compare);
	printf("sound=%d p50=%.3f p99=%.3f\n", sound, (double)times->ns[middle] / 1e3,
	       (double)times->ns[late] / 1e3);
	free(times->ns);
}
