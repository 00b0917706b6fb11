/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engine's policy: compiled from the text that the supervisor hands over, and replaced. */
#ifndef ENGINE_LIFECYCLE_ENGINE_POLICY_H
#define ENGINE_LIFECYCLE_ENGINE_POLICY_H

#include "base/fault.h"

struct engine;

/*
 * Compiles the policy whose text fd holds (borrowed; -1: deny all) and replaces the current one,
 * whose state it takes over. path is for errors and records. Returns 0, or -errno with *fault and
 * the current policy as it was.
 */
int engine_policy_replace(struct engine *engine, const char *path, int fd, struct fault *fault);

#endif
