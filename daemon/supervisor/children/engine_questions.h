/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Questions to an engine: each is answered once, by the engine, by its deadline, or by the end of
 * the engine.
 */
#ifndef SUPERVISOR_CHILDREN_ENGINE_QUESTIONS_H
#define SUPERVISOR_CHILDREN_ENGINE_QUESTIONS_H

#include "supervisor/children/engine_process.h"

/*
 * Asks ENGINE_MESSAGE_STATUS (value: 0 counters, 1 every socket), or ENGINE_MESSAGE_KILL (value:
 * enum audit_close, number: the socket's). Returns 0, then answered() follows within timeout_ns;
 * -EPIPE: the engine is ending; -EBUSY: ENGINE_QUESTIONS are open; or another -errno.
 */
int engine_questions_ask(struct engine_process *engine, enum engine_message_kind kind,
			 uint32_t value, uint64_t number, uint64_t timeout_ns,
			 void (*answered)(void *owner, int error, const char *text), void *owner);
/* Takes KILLED or REPORT; one that answers no open question is passed over. */
void engine_questions_take_killed(struct engine_process *engine,
				  const struct engine_message *message);
void engine_questions_take_report(struct engine_process *engine,
				  const struct engine_message *message);
/* Answers all open questions with error (a negative errno). */
void engine_questions_fail(struct engine_process *engine, int error);

#endif
