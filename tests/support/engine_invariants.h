/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What holds for an engine between any two of its turns, whatever its guest does. */
#ifndef ENGINE_INVARIANTS_H
#define ENGINE_INVARIANTS_H

#include <stdint.h>

#include "engine/lifecycle/engine.h"

/*
 * Aborts, with the condition that is broken, unless pending calls, sockets, connections, the ring
 * and the slots of the trail's queue agree with each other. What the writer has committed is
 * collected for that. other_slots: of the queue, beside those of pending calls (not stored yet).
 */
void engine_invariants_check(struct engine *engine, uint32_t other_slots);
/* The same for an engine that is not attached: nothing of its guest is left. All must be stored. */
void engine_invariants_check_detached(struct engine *engine);
/* Descriptors that sockets and pending calls have open now. */
uint32_t engine_invariants_descriptors(struct engine *engine);

#endif
