/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Seals segments in the background: one child process at a time, of low priority. */
#ifndef AUDITD_SEALER_H
#define AUDITD_SEALER_H

#include <stdint.h>
#include <sys/types.h>

#include "audit/store/store.h"
#include "base/log.h"

/* Zeroed but for pidfd = -1 it is at rest. */
struct sealer {
	const char *dir;
	const struct log *log;
	pid_t child;       /* 0: none */
	int pidfd;         /* readable when the child has ended; -1: none */
	uint64_t seen;     /* live segment at the last look that found nothing to seal */
	uint64_t retry_ns; /* monotonic: not before; 0: at once */
};

/*
 * Starts sealing the oldest segment before `live` that is not sealed, unless a child is at it or it
 * is too early. Returns the monotonic time at which to call again, UINT64_MAX: when something
 * changes.
 */
uint64_t sealer_turn(struct sealer *sealer, struct store *store, uint64_t now_ns);
/* Ends a child that is at work; what it did not finish is done after the next start. */
void sealer_stop(struct sealer *sealer);

#endif
