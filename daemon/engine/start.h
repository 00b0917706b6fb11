/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The beginning of an engine: everything it opens, in the order in which it gives up the right to.
 */
#ifndef ENGINE_START_H
#define ENGINE_START_H

#include "base/fault.h"

struct engine;

/*
 * Takes START, TRANSPORT and POLICY from the supervisor, opens and maps what they bring, closes the
 * sandbox and says READY. Returns 0, or -errno after FAILED was sent.
 */
int engine_start(struct engine *engine);

/*
 * Compiles the policy whose text fd holds (borrowed; -1: deny all) and replaces the current one,
 * whose state it takes over. Returns 0, or -errno with *fault and the current policy as it was.
 */
int start_policy(struct engine *engine, const char *path, int fd, struct fault *fault);

#endif
