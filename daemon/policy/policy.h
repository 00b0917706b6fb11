/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A compiled policy with its plugin instances, serving one guest. It is made in policy/compile.h,
 * and asked for each call in policy/chain.h.
 */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include <stddef.h>
#include <stdint.h>

#include "base/meter.h"

#define POLICY_DIGEST_BYTES 32

struct allowances; /* policy/plugin_host/allowances.h */
struct policy;

/* Tells plugins that the guest is gone, and frees all; meters with references live on. */
void policy_free(struct policy *policy);

const char *policy_name(const struct policy *policy);
const uint8_t *policy_digest(const struct policy *policy); /* POLICY_DIGEST_BYTES */

/* The meter behind a handle of a decision, with a reference for the caller; NULL for 0. */
struct meter *policy_meter(struct policy *policy, uint32_t handle);

/*
 * From here on what its limits stand at is noted in this memory (NULL: nowhere), which is borrowed;
 * what stands there already counts. Before the first call.
 */
void policy_keep_allowances(struct policy *policy, struct allowances *allowances);
/* Notes meters, which is not done with each byte: now and then, and when the guest goes. */
void policy_note_allowances(struct policy *policy);

/* Writes "name value\n" lines of all plugins and counters into text; returns bytes written. */
size_t policy_metrics(struct policy *policy, char *text, size_t size);

#endif
