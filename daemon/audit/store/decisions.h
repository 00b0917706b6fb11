/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ids of decisions (policy, decider, rule, reason, who rewrote) already in the live segment.
 *
 * A cache and no more: a decision that falls out of it is entered once again under another id,
 * which readers don't notice. So its size is fixed, whatever a guest provokes.
 */
#ifndef AUDIT_STORE_DECISIONS_H
#define AUDIT_STORE_DECISIONS_H

#include <stdint.h>

#include "ipc/audit_record.h"

#define DECISIONS_CACHED 1024u /* a power of two */

struct decisions;

/* Returns an empty cache, or NULL when there is no memory. */
struct decisions *decisions_create(void);
/* Frees a cache; NULL is left alone. */
void decisions_destroy(struct decisions *decisions);
/* Forgets everything: another segment, or a transaction that was rolled back. */
void decisions_clear(struct decisions *decisions);
/*
 * Where the id of record's decision is kept: 0 there means that it is new, and the caller stores
 * the id it enters it under. Valid until the next call.
 */
int64_t *decisions_find(struct decisions *decisions, const struct audit_record *record);

#endif
