/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An engine reads what its guest wrote, so it is not trusted here: each message is checked, each
 * text ends where the message ends, and how much is kept of it is bounded.
 */
#include "supervisor/children/engine_inbox.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/fd.h"
#include "supervisor/children/engine_questions.h"

#define ENGINE_MESSAGES_PER_TURN 64u
#define ENGINE_MESSAGE_HEAD      offsetof(struct engine_message, body) /* bytes */

static void engine_inbox_ready(struct engine_process *engine)
{
	if (engine->phase != ENGINE_STARTING)
		return;
	engine->phase = ENGINE_READY;
	loop_disarm(engine->loop, &engine->deadline);
	if (engine->policy_pending)
		engine_process_set_deadline(engine, ENGINE_POLICY_NS);
	if (engine->owner)
		engine->calls->ready(engine->owner);
}

static void engine_inbox_attached(struct engine_process *engine)
{
	if (engine->phase != ENGINE_ATTACHING)
		return;
	engine->phase = ENGINE_ATTACHED;
	if (engine->owner)
		engine->calls->attached(engine->owner);
}

static void engine_inbox_detached(struct engine_process *engine, bool lingers)
{
	if (engine->phase != ENGINE_DETACHING)
		return;
	engine_process_finish(engine, lingers ? ENGINE_LINGER_NS : ENGINE_END_NS);
	if (engine->owner)
		engine->calls->detached(engine->owner);
}

static void engine_inbox_policy_taken(struct engine_process *engine,
				      const struct engine_message *message)
{
	engine->policy_pending = false;
	if (engine->phase >= ENGINE_READY && engine->phase <= ENGINE_ATTACHED)
		loop_disarm(engine->loop, &engine->deadline);
	engine->ping_ns = 0;
	if (engine->owner)
		engine->calls->policy_taken(engine->owner, -(int)(message->value & 0xfff),
					    message->body.text);
}

/* It aborts by itself; one that says so and does not is killed. What was said first stays. */
static void engine_inbox_assertion(struct engine_process *engine, const char *text)
{
	if (!engine->end[0])
		snprintf(engine->end, sizeof(engine->end), "ended: an assertion failed: %.*s",
			 ASSERT_TEXT_MAX, text);
	engine_process_set_deadline(engine, ENGINE_END_NS);
}

static void engine_inbox_take(struct engine_process *engine, const struct engine_message *message)
{
	void *owner = engine->owner;

	switch (message->kind) {
	case ENGINE_MESSAGE_READY:
		engine_inbox_ready(engine);
		return;
	case ENGINE_MESSAGE_ATTACHED:
		engine_inbox_attached(engine);
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
	case ENGINE_MESSAGE_FULL:
		if (owner)
			engine->calls->full(owner, message->body.text);
		return;
	case ENGINE_MESSAGE_DETACHED:
		engine_inbox_detached(engine, message->value != 0);
		return;
	case ENGINE_MESSAGE_PONG:
		if (message->number == engine->pings)
			engine->ping_ns = 0;
		return;
	case ENGINE_MESSAGE_POLICY_TAKEN:
		engine_inbox_policy_taken(engine, message);
		return;
	case ENGINE_MESSAGE_REPORT:
		engine_questions_take_report(engine, message);
		return;
	case ENGINE_MESSAGE_KILLED:
		engine_questions_take_killed(engine, message);
		return;
	case ENGINE_MESSAGE_ASSERTION:
		engine_inbox_assertion(engine, message->body.text);
		return;
	default:
		engine_process_kill(engine, "sent a message that does not exist and was killed");
	}
}

/* Receives one message. Returns 1, 0 if there is none now, or -errno if the socket is of no use. */
static int engine_inbox_receive_one(struct engine_process *engine)
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
	if (size < (ssize_t)ENGINE_MESSAGE_HEAD)
		return -EPIPE;
	ASSERT((size_t)size <= sizeof(buffer.message));
	((char *)&buffer)[size] = '\0';
	buffer.message.body.text[ENGINE_MESSAGE_TEXT_MAX - 1] = '\0';
	engine_inbox_take(engine, &buffer.message);
	return 1;
}

void engine_inbox_receive(struct engine_process *engine)
{
	unsigned int left = ENGINE_MESSAGES_PER_TURN;
	int got = 1;

	/* No callback frees an engine: only its process's end does. But its socket may close. */
	while (got > 0 && left-- > 0 && engine->socket >= 0)
		got = engine_inbox_receive_one(engine);
	/* A closed socket is dealt with when the process's end is seen. */
	if (got < 0)
		loop_remove(engine->loop, &engine->source);
	if (got < 0 && engine->phase < ENGINE_DETACHING)
		engine_process_set_deadline(engine, ENGINE_END_NS);
}
