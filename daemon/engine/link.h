/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engine's end of the control socket. */
#ifndef ENGINE_LINK_H
#define ENGINE_LINK_H

#include <stdint.h>

#include "ipc/engine_message.h"

struct engine;

/* Tells the supervisor something; text may be NULL. A supervisor that does not read is as good as
 * gone. */
void link_send(struct engine *engine, enum engine_message_kind kind, uint32_t value,
	       uint64_t number, const char *text);

/* Begins to take the supervisor's messages. Returns 0 or -errno. */
int link_open(struct engine *engine);

/* Answers ENGINE_MESSAGE_STATUS: sums, and with detail every socket. */
void report_send(struct engine *engine, uint32_t detail, uint64_t number);

#endif
