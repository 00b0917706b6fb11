/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engine's main loop. */
#ifndef ENGINE_LIFECYCLE_ENGINE_RUN_H
#define ENGINE_LIFECYCLE_ENGINE_RUN_H

#include <stdbool.h>

struct engine;

/*
 * One turn, see turn_work(); a guest that breaks the protocol in it is cut off. Returns whether
 * anything was done.
 */
bool engine_turn(struct engine *engine);
/*
 * Serves until the supervisor is gone or says so, then closes everything and sends what peers are
 * still to get. Returns 0 or -errno.
 */
int engine_run(struct engine *engine);

#endif
