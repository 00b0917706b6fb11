/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The beginning and the end of a guest's device: its command ring, and all of its sockets. */
#ifndef ENGINE_LIFECYCLE_ATTACH_H
#define ENGINE_LIFECYCLE_ATTACH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "ipc/engine_message.h"

struct engine;

/* Maps the command ring and starts to serve it. Returns 0 or -errno with *fault. */
int engine_attach(struct engine *engine, const struct engine_attach_args *args,
		  struct fault *fault);
/*
 * Ends every call and closes every socket, with a record each, for this reason (enum audit_close),
 * and unmaps the command ring. Does nothing when not attached.
 */
void engine_detach(struct engine *engine, uint32_t reason);
/* Whether a detached engine must live on: for peers' bytes, or for records of closed sockets. */
bool engine_lingers(const struct engine *engine);

#endif
