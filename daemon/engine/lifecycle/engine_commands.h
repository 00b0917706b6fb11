/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the supervisor asks of a running engine. */
#ifndef ENGINE_LIFECYCLE_ENGINE_COMMANDS_H
#define ENGINE_LIFECYCLE_ENGINE_COMMANDS_H

struct engine;

/*
 * Begins to take the supervisor's messages. The end of its socket ends the engine's main loop.
 * Returns 0 or -errno.
 */
int engine_commands_open(struct engine *engine);

#endif
