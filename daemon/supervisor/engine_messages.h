/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is said to an engine, and what it says; the inner half of engines.h. */
#ifndef SUPERVISOR_ENGINE_MESSAGES_H
#define SUPERVISOR_ENGINE_MESSAGES_H

#include "supervisor/engines.h"

/* Sends POLICY with a sealed copy of the text; NULL: deny all. Returns 0 or -errno. */
int engine_send_policy(struct engine *engine, const struct policy_source *policy);
/* Answers all open questions with error. */
void engine_questions_fail(struct engine *engine, int error);
/* Arms the engine's deadline. */
void engine_deadline(struct engine *engine, uint64_t from_now_ns);
/* Closes its socket: it ends, or is killed. */
void engine_finish(struct engine *engine, uint64_t within_ns);

#endif
