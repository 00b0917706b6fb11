/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/children/engine_questions.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

#define ENGINE_ANSWER_MAX (4u << 20) /* bytes of all reports to one question */

/* Takes a question out and answers it. */
static void engine_question_answer(struct engine_process *engine, uint32_t index, int error)
{
	struct engine_question question = engine->questions[index];

	ASSERT(index < engine->question_count);
	engine->question_count--;
	memmove(engine->questions + index, engine->questions + index + 1,
		(engine->question_count - index) * sizeof(question));
	question.answered(question.owner, error, question.text ? question.text : "");
	free(question.text);
}

void engine_questions_fail(struct engine_process *engine, int error)
{
	while (engine->question_count)
		engine_question_answer(engine, 0, error);
}

static void engine_questions_expire(struct loop_timer *timer);

static void engine_questions_arm(struct engine_process *engine)
{
	uint64_t first_ns = UINT64_MAX;

	for (uint32_t i = 0; i < engine->question_count; i++) {
		if (engine->questions[i].deadline_ns < first_ns)
			first_ns = engine->questions[i].deadline_ns;
	}
	if (first_ns != UINT64_MAX)
		loop_arm(engine->loop, &engine->answers, first_ns, engine_questions_expire, engine);
}

/* An answer that comes after this finds no question of its number. */
static void engine_questions_expire(struct loop_timer *timer)
{
	struct engine_process *engine = timer->owner;
	uint64_t now_ns = clock_monotonic_ns();
	uint32_t i = 0;

	while (i < engine->question_count) {
		if (engine->questions[i].deadline_ns <= now_ns)
			engine_question_answer(engine, i, -ETIMEDOUT);
		else
			i++;
	}
	engine_questions_arm(engine);
}

int engine_questions_ask(struct engine_process *engine, enum engine_message_kind kind,
			 uint32_t value, uint64_t number, uint64_t timeout_ns,
			 void (*answered)(void *owner, int error, const char *text), void *owner)
{
	int error;

	ASSERT(kind == ENGINE_MESSAGE_STATUS || kind == ENGINE_MESSAGE_KILL);
	if (engine->phase >= ENGINE_DETACHING)
		return -EPIPE;
	if (engine->question_count == ENGINE_QUESTIONS)
		return -EBUSY;
	if (kind == ENGINE_MESSAGE_STATUS)
		number = ++engine->asked;
	error = engine_message_send(engine->socket, kind, value, number, NULL, NULL, 0);
	if (error)
		return error;
	engine->questions[engine->question_count++] = (struct engine_question){
		.answered = answered,
		.owner = owner,
		.kind = kind,
		.number = number,
		.deadline_ns = clock_monotonic_ns() + timeout_ns,
	};
	engine_questions_arm(engine);
	return 0;
}

/* The index of an open question, or question_count. */
static uint32_t engine_questions_find(const struct engine_process *engine,
				      enum engine_message_kind kind, uint64_t number)
{
	uint32_t i = 0;

	while (i < engine->question_count &&
	       (engine->questions[i].kind != kind || engine->questions[i].number != number))
		i++;
	return i;
}

void engine_questions_take_killed(struct engine_process *engine,
				  const struct engine_message *message)
{
	uint32_t index = engine_questions_find(engine, ENGINE_MESSAGE_KILL, message->number);

	if (index < engine->question_count)
		engine_question_answer(engine, index, -(int)(message->value & 0xfff));
}

void engine_questions_take_report(struct engine_process *engine,
				  const struct engine_message *message)
{
	uint32_t index = engine_questions_find(engine, ENGINE_MESSAGE_STATUS, message->number);
	struct engine_question *question = &engine->questions[index];
	size_t length = strlen(message->body.text);
	char *text;

	if (index == engine->question_count)
		return;
	if (question->used + length < ENGINE_ANSWER_MAX) {
		text = realloc(question->text, question->used + length + 1);
		if (text) {
			memcpy(text + question->used, message->body.text, length + 1);
			question->text = text;
			question->used += length;
		}
	}
	if (!message->value)
		engine_question_answer(engine, index, 0);
}
