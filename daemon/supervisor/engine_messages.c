/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An engine reads what its guest wrote, so it is not trusted here: each message is checked, each
 * text ends where the message ends, and how much is kept of it is bounded.
 */
#include "supervisor/engine_messages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "supervisor/watchdog.h"

#define MESSAGES_PER_TURN 64u
#define ANSWER_MAX        (4u << 20) /* bytes of all reports to one question */
#define HEAD_BYTES        offsetof(struct engine_message, body)

/* Returns a memfd of the text that nobody can change any more, or -errno. */
static int seal_text(const struct policy_source *policy)
{
	int memfd = memfd_create("pvcalls-policy", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t done = 0;
	int error;

	if (memfd < 0)
		return -errno;
	while (done < policy->size) {
		ssize_t wrote = write(memfd, policy->text + done, policy->size - done);

		if (wrote < 0)
			goto fail;
		done += (size_t)wrote;
	}
	if (fcntl(memfd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		goto fail;
	return memfd;
fail:
	error = -errno;
	close(memfd);
	return error;
}

int engine_send_policy(struct engine *engine, const struct policy_source *policy)
{
	autoclose int memfd = -1;

	if (!policy)
		return engine_message_send(engine->socket, ENGINE_MESSAGE_POLICY, 0, 0, NULL, NULL,
					   0);
	memfd = seal_text(policy);
	if (memfd < 0)
		return memfd;
	return engine_message_send(engine->socket, ENGINE_MESSAGE_POLICY, 0, 0, policy->path,
				   &memfd, 1);
}

int engine_policy(struct engine *engine, const struct policy_source *policy)
{
	int error;

	if (engine->phase >= ENGINE_DETACHING)
		return -EPIPE;
	error = engine_send_policy(engine, policy);
	if (error)
		return error;
	engine->policy_pending = true;
	if (engine->phase != ENGINE_STARTING)
		engine_deadline(engine, ENGINE_POLICY_NS);
	return 0;
}

int engine_serve(struct engine *engine, const struct engine_attach_args *attach)
{
	struct {
		uint32_t kind;
		uint32_t value;
		uint64_t number;
		struct engine_attach_args attach;
	} message = {.kind = ENGINE_MESSAGE_ATTACH, .attach = *attach};
	int error = fd_send(engine->socket, &message, sizeof(message), NULL, 0);

	if (!error)
		engine->phase = ENGINE_ATTACHING;
	return error;
}

/* Takes a question out and answers it. */
static void answer(struct engine *engine, uint32_t index, int error)
{
	struct engine_question question = engine->questions[index];

	engine->question_count--;
	memmove(engine->questions + index, engine->questions + index + 1,
		(engine->question_count - index) * sizeof(question));
	question.answered(question.owner, error, question.text ? question.text : "");
	free(question.text);
}

void engine_questions_fail(struct engine *engine, int error)
{
	while (engine->question_count)
		answer(engine, 0, error);
}

static void answer_late(struct loop_timer *timer);

static void arm_answers(struct engine *engine)
{
	uint64_t first_ns = UINT64_MAX;

	for (uint32_t i = 0; i < engine->question_count; i++) {
		if (engine->questions[i].deadline_ns < first_ns)
			first_ns = engine->questions[i].deadline_ns;
	}
	if (first_ns != UINT64_MAX)
		loop_arm(engine->engines->loop, &engine->answers, first_ns, answer_late, engine);
}

/* An answer that comes after this finds no question of its number. */
static void answer_late(struct loop_timer *timer)
{
	struct engine *engine = timer->owner;
	uint64_t now_ns = clock_monotonic_ns();
	uint32_t i = 0;

	while (i < engine->question_count) {
		if (engine->questions[i].deadline_ns <= now_ns)
			answer(engine, i, -ETIMEDOUT);
		else
			i++;
	}
	arm_answers(engine);
}

int engine_ask(struct engine *engine, enum engine_message_kind kind, uint32_t value,
	       uint64_t number, uint64_t timeout_ns,
	       void (*answered)(void *owner, int error, const char *text), void *owner)
{
	int error;

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
	arm_answers(engine);
	return 0;
}

/* The index of an open question, or question_count. */
static uint32_t find_question(const struct engine *engine, enum engine_message_kind kind,
			      uint64_t number)
{
	uint32_t i = 0;

	while (i < engine->question_count &&
	       (engine->questions[i].kind != kind || engine->questions[i].number != number))
		i++;
	return i;
}

static void take_killed(struct engine *engine, const struct engine_message *message)
{
	uint32_t index = find_question(engine, ENGINE_MESSAGE_KILL, message->number);

	if (index < engine->question_count)
		answer(engine, index, -(int)(message->value & 0xfff));
}

static void take_report(struct engine *engine, const struct engine_message *message)
{
	uint32_t index = find_question(engine, ENGINE_MESSAGE_STATUS, message->number);
	struct engine_question *question = &engine->questions[index];
	size_t length = strlen(message->body.text);
	char *text;

	if (index == engine->question_count)
		return;
	if (question->used + length < ANSWER_MAX) {
		text = realloc(question->text, question->used + length + 1);
		if (text) {
			memcpy(text + question->used, message->body.text, length + 1);
			question->text = text;
			question->used += length;
		}
	}
	if (!message->value)
		answer(engine, index, 0);
}

static void take_ready(struct engine *engine)
{
	if (engine->phase != ENGINE_STARTING)
		return;
	engine->phase = ENGINE_READY;
	loop_disarm(engine->engines->loop, &engine->deadline);
	if (engine->policy_pending)
		engine_deadline(engine, ENGINE_POLICY_NS);
	if (engine->owner)
		engine->calls->ready(engine->owner);
}

static void take_attached(struct engine *engine)
{
	if (engine->phase != ENGINE_ATTACHING)
		return;
	engine->phase = ENGINE_ATTACHED;
	watchdog_wake(engine->engines);
	if (engine->owner)
		engine->calls->attached(engine->owner);
}

static void take_detached(struct engine *engine, bool has_tails)
{
	if (engine->phase != ENGINE_DETACHING)
		return;
	engine_finish(engine, has_tails ? ENGINE_TAILS_NS : ENGINE_END_NS);
	if (engine->owner)
		engine->calls->detached(engine->owner);
}

static void take_policy_taken(struct engine *engine, const struct engine_message *message)
{
	engine->policy_pending = false;
	if (engine->phase >= ENGINE_READY && engine->phase <= ENGINE_ATTACHED)
		loop_disarm(engine->engines->loop, &engine->deadline);
	engine->ping_ns = 0;
	if (engine->owner)
		engine->calls->policy_taken(engine->owner, -(int)(message->value & 0xfff),
					    message->body.text);
}

static void take_message(struct engine *engine, const struct engine_message *message)
{
	void *owner = engine->owner;

	switch (message->kind) {
	case ENGINE_MESSAGE_READY:
		take_ready(engine);
		return;
	case ENGINE_MESSAGE_ATTACHED:
		take_attached(engine);
		return;
	case ENGINE_MESSAGE_FAILED:
		if (owner)
			engine->calls->failed(owner, -(int)(message->value & 0xfff),
					      message->body.text);
		return;
	case ENGINE_MESSAGE_BROKEN:
		if (owner)
			engine->calls->broken(owner, message->body.text);
		return;
	case ENGINE_MESSAGE_DETACHED:
		take_detached(engine, message->value != 0);
		return;
	case ENGINE_MESSAGE_PONG:
		watchdog_pong(engine, message->number);
		return;
	case ENGINE_MESSAGE_POLICY_TAKEN:
		take_policy_taken(engine, message);
		return;
	case ENGINE_MESSAGE_REPORT:
		take_report(engine, message);
		return;
	case ENGINE_MESSAGE_KILLED:
		take_killed(engine, message);
		return;
	default:
		engine_kill(engine, "sent a message that does not exist and was killed");
	}
}

/* Receives one message. Returns 1, 0 if there is none now, or -errno if the socket is of no use. */
static int receive_one(struct engine *engine)
{
	struct {
		struct engine_message message;
		char end; /* room for a NUL after the longest */
	} buffer;
	int fds[FDS_PER_MESSAGE];
	size_t count = 0;
	ssize_t size = fd_receive(engine->socket, &buffer, sizeof(buffer.message), fds, &count);

	if (size == -EAGAIN || size == -EINTR)
		return 0;
	for (size_t i = 0; size > 0 && i < count; i++)
		close(fds[i]);
	if (size < (ssize_t)HEAD_BYTES)
		return -EPIPE;
	((char *)&buffer)[size] = '\0';
	buffer.message.body.text[ENGINE_MESSAGE_TEXT_MAX - 1] = '\0';
	take_message(engine, &buffer.message);
	return 1;
}

void engine_receive(struct engine *engine)
{
	unsigned int left = MESSAGES_PER_TURN;
	int got = 1;

	/* No callback frees an engine: only its process's end does. But its socket may close. */
	while (got > 0 && left-- > 0 && engine->socket >= 0)
		got = receive_one(engine);
	/* A closed socket is dealt with when the process's end is seen. */
	if (got < 0)
		loop_remove(engine->engines->loop, &engine->source);
	if (got < 0 && engine->phase < ENGINE_DETACHING)
		engine_deadline(engine, ENGINE_END_NS);
}
