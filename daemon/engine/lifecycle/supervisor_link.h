/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engine's end of its socket to the supervisor. */
#ifndef ENGINE_LIFECYCLE_SUPERVISOR_LINK_H
#define ENGINE_LIFECYCLE_SUPERVISOR_LINK_H

#include <stdint.h>

#include "ipc/engine_message.h"

struct engine;

/*
 * Tells the supervisor something; text may be NULL. One that does not read is as good as gone: that
 * is logged.
 */
void supervisor_link_send(struct engine *engine, enum engine_message_kind kind, uint32_t value,
			  uint64_t number, const char *text);

#endif
