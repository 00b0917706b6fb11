/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "audit/store/decisions.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* The fields that make a decision lie side by side in a record, and are compared as bytes. */
#define KEY_START offsetof(struct audit_record, policy_digest)
#define KEY_BYTES (sizeof(struct audit_record) - KEY_START)
#define KEY_WORDS (KEY_BYTES / sizeof(uint64_t))
_Static_assert(KEY_BYTES == AUDIT_DIGEST_BYTES + 3 * PVCALLS_NAME_MAX + 2 * PVCALLS_RULE_MAX +
				    PVCALLS_REASON_MAX,
	       "digest, policy, decider, rule, reason and who rewrote end a record");
_Static_assert(KEY_START % sizeof(uint64_t) == 0 && KEY_BYTES % sizeof(uint64_t) == 0,
	       "whole words");
_Static_assert((DECISIONS_CACHED & (DECISIONS_CACHED - 1)) == 0, "a power of two");

#define WAYS 4u /* places that a decision may take; the oldest of them gives way */
#define SETS (DECISIONS_CACHED / WAYS)

struct entry {
	int64_t id;    /* 0: empty */
	uint32_t hash; /* compared before the key is */
	uint8_t key[KEY_BYTES];
};

struct decisions {
	uint8_t oldest[SETS];
	struct entry entry[SETS][WAYS];
};

struct decisions *decisions_create(void)
{
	return calloc(1, sizeof(struct decisions));
}

void decisions_destroy(struct decisions *decisions)
{
	free(decisions);
}

void decisions_clear(struct decisions *decisions)
{
	memset(decisions, 0, sizeof(*decisions));
}

/* A product's high bits depend on all of a word, its low bits do not: bring them down. */
static uint64_t decisions_mix(uint64_t sum, uint64_t word)
{
	uint64_t product = (sum ^ word) * 0x9e3779b97f4a7c15ull;
	return product ^ product >> 32;
}

/* Four lanes, so that the multiplications overlap. Collisions cost time, nothing else. */
static uint32_t decisions_hash(const uint8_t *key)
{
	uint64_t lane[4] = {1, 2, 3, 4};
	for (size_t i = 0; i < KEY_WORDS; i++) {
		uint64_t word = 0;
		memcpy(&word, key + i * sizeof(word), sizeof(word));
		lane[i % 4] = decisions_mix(lane[i % 4], word);
	}
	return (uint32_t)decisions_mix(decisions_mix(decisions_mix(lane[0], lane[1]), lane[2]),
				       lane[3]);
}

int64_t *decisions_find(struct decisions *decisions, const struct audit_record *record)
{
	const uint8_t *key = (const uint8_t *)record + KEY_START;
	uint32_t hash = decisions_hash(key);
	struct entry *set = decisions->entry[hash & (SETS - 1)];
	for (uint32_t way = 0; way < WAYS; way++) {
		if (set[way].id != 0 && set[way].hash == hash &&
		    memcmp(set[way].key, key, KEY_BYTES) == 0)
			return &set[way].id;
	}
	uint8_t *oldest = &decisions->oldest[hash & (SETS - 1)];
	struct entry *entry = &set[*oldest];
	*oldest = (uint8_t)((*oldest + 1u) % WAYS);
	entry->id = 0;
	entry->hash = hash;
	memcpy(entry->key, key, KEY_BYTES);
	return &entry->id;
}
