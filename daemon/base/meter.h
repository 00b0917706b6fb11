/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A token bucket for bytes. Streams take from the meters that the policy attached to them; a meter
 * outlives the policy that made it for as long as a stream holds it. One that only counts holds
 * nothing back and tells what it would have.
 */
#ifndef BASE_METER_H
#define BASE_METER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct meter {
	uint64_t bytes_per_s; /* at least 1 */
	uint64_t burst;       /* bytes; at least 1 */
	uint64_t tokens;      /* bytes that may pass now */
	uint64_t filled_ns;   /* when tokens was last topped up */
	uint64_t over;        /* bytes that passed and would have had to wait, if it only counts */
	uint32_t refs;
	bool counts_only;
};

/* Returns a full meter with one reference, or NULL when there is no memory. */
struct meter *meter_create(uint64_t bytes_per_s, uint64_t burst, uint64_t now_ns);
/* One more reference. Returns the same meter. */
struct meter *meter_ref(struct meter *meter);
/* One reference less; the last one frees the meter. NULL is left alone. */
void meter_unref(struct meter *meter);
/* Changes the rate and keeps the tokens, at most the new burst. */
void meter_set(struct meter *meter, uint64_t bytes_per_s, uint64_t burst);

/* Bytes (at most want) that may pass now; 0: wait until meter_ready_ns(). NULL passes everything.
 */
size_t meter_allows(struct meter *meter, size_t want, uint64_t now_ns);
/*
 * Takes bytes that have passed, at most what meter_allows() last said. Returns how many of them
 * would have had to wait.
 */
size_t meter_take(struct meter *meter, size_t bytes);
/* When it will be full if nothing more is taken. */
uint64_t meter_full_ns(const struct meter *meter);
/* Takes so much, if it is there, that it will not be full before until_ns. */
void meter_drain(struct meter *meter, uint64_t until_ns, uint64_t now_ns);
/* When a useful number of bytes (a 16th of the burst) will be there. */
uint64_t meter_ready_ns(const struct meter *meter, uint64_t now_ns);

#endif
