/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The beginning of an engine: everything it opens, in the order in which it gives up the right to.
 */
#ifndef ENGINE_LIFECYCLE_ENGINE_START_H
#define ENGINE_LIFECYCLE_ENGINE_START_H

struct engine;

/*
 * Takes START, TRANSPORT and POLICY from the supervisor, opens and maps what they bring, closes the
 * sandbox and says READY. Returns 0, or -errno after FAILED was sent.
 */
int engine_start(struct engine *engine);

#endif
