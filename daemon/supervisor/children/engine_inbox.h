/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an engine says. */
#ifndef SUPERVISOR_CHILDREN_ENGINE_INBOX_H
#define SUPERVISOR_CHILDREN_ENGINE_INBOX_H

#include "supervisor/children/engine_process.h"

/*
 * Takes what the engine has sent, a bounded number of messages: moves its phase on and tells its
 * owner. The engine is still there afterwards; its socket may be closed, its owner gone.
 */
void engine_inbox_receive(struct engine_process *engine);

#endif
