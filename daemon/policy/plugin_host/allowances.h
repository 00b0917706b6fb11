/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How much of its limits a guest has used, kept for longer than its engine: a guest that starts
 * again, or whose engine has crashed, goes on where it was.
 *
 * Theory of operation. What was taken of an allowance is one number: when it will be full again.
 * The supervisor makes a memory for each engine, with what is still to be known of the guest of
 * that name, and the policy writes there whatever is taken, so that it is there however the engine
 * ends; then the supervisor copies it (supervisor/guests/kept_allowances.h).
 *
 * An engine is trusted no more than its guest. Plugins therefore go by memory of their own, look
 * here only for what they do not know yet, and bound it by their limit; and the supervisor only
 * adds to what it has given, so that an engine can hide no more than what it has itself let pass.
 *
 * A key has ALLOWANCE_WAYS places where it may be. If all are taken, the one that will be full
 * first makes room: the least is lost by that.
 */
#ifndef POLICY_PLUGIN_HOST_ALLOWANCES_H
#define POLICY_PLUGIN_HOST_ALLOWANCES_H

#include <stddef.h>
#include <stdint.h>

#define ALLOWANCE_SETS 1024u /* a power of two */
#define ALLOWANCE_WAYS 8u
#define ALLOWANCES_MAX (ALLOWANCE_SETS * ALLOWANCE_WAYS)

struct allowance {
	uint64_t key;      /* 0: no allowance */
	uint64_t until_ns; /* CLOCK_MONOTONIC: full from then on */
};

struct allowances {
	uint64_t seed; /* unknown to guests, who choose addresses */
	uint64_t reserved;
	struct allowance list[ALLOWANCES_MAX];
};

/* Maps a memory that stays the caller's. Returns 0, or -errno: -EINVAL if it is too small. */
int allowances_map(struct allowances **allowances, int fd);
void allowances_unmap(struct allowances *allowances); /* NULL is nothing */

/* A key, never 0, for what a plugin counts under this id, and there under this number. */
uint64_t allowances_key(const struct allowances *allowances, const char *plugin, const char *id,
			uint64_t number);
/* When it will be full; 0 if nothing is known of it. Not to be trusted. */
uint64_t allowances_get(const struct allowances *allowances, uint64_t key);
/* Notes when it will be full. */
void allowances_put(struct allowances *allowances, uint64_t key, uint64_t until_ns,
		    uint64_t now_ns);

#endif
