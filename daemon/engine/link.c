/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the supervisor asks of a running engine. */
#include "engine/link.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/fd.h"
#include "engine/calls.h"
#include "engine/connection.h"
#include "engine/engine.h"
#include "engine/start.h"

void link_send(struct engine *engine, enum engine_message_kind kind, uint32_t value,
	       uint64_t number, const char *text)
{
	int error;

	if (!engine->supervised)
		return;
	error = engine_message_send(engine->control, kind, value, number, text, NULL, 0);
	if (error)
		log_warning(&engine->log, "the supervisor takes no messages: %s", strerror(-error));
}

static void attach(struct engine *engine, const struct engine_message *message)
{
	struct fault fault = {.text = ""};
	int error = engine_attach(engine, &message->body.attach, &fault);

	if (error)
		link_send(engine, ENGINE_MESSAGE_FAILED, (uint32_t)-error, 0, fault.text);
	else
		link_send(engine, ENGINE_MESSAGE_ATTACHED, 0, 0, NULL);
}

static void kill_socket(struct engine *engine, const struct engine_message *message)
{
	struct guest_socket *socket = socket_table_by_number(engine->sockets, message->number);
	struct flight_release about;

	if (!socket) {
		link_send(engine, ENGINE_MESSAGE_KILLED, ENOENT, message->number, NULL);
		return;
	}
	/* The guest is told through its ring, then it may release what is gone. */
	socket_close(engine, socket, message->value, &about);
	releases_record(engine, &about, 1);
	link_send(engine, ENGINE_MESSAGE_KILLED, 0, message->number, NULL);
}

static void take_policy(struct engine *engine, const struct engine_message *message, int fd)
{
	struct fault fault = {.text = ""};
	int error = start_policy(engine, message->body.text, fd, &fault);

	link_send(engine, ENGINE_MESSAGE_POLICY_TAKEN, (uint32_t)-error, message->number,
		  fault.text);
}

static void take(struct engine *engine, const struct engine_message *message, int fd)
{
	switch (message->kind) {
	case ENGINE_MESSAGE_POLICY:
		take_policy(engine, message, fd);
		break;
	case ENGINE_MESSAGE_ATTACH:
		attach(engine, message);
		break;
	case ENGINE_MESSAGE_DETACH:
		engine_detach(engine, message->value);
		link_send(engine, ENGINE_MESSAGE_DETACHED, linger_bytes(engine->lingers) > 0, 0,
			  NULL);
		break;
	case ENGINE_MESSAGE_PING:
		link_send(engine, ENGINE_MESSAGE_PONG, message->value, message->number, NULL);
		connections_sweep(engine);
		break;
	case ENGINE_MESSAGE_STATUS:
		report_send(engine, message->value, message->number);
		break;
	case ENGINE_MESSAGE_KILL:
		kill_socket(engine, message);
		break;
	default:
		log_warning(&engine->log, "unknown message %u of the supervisor", message->kind);
		break;
	}
}

static void supervisor_gone(struct engine *engine)
{
	engine->supervised = false;
	engine->stop = true;
	loop_remove(engine->loop, &engine->control_source);
}

static void readable(struct loop_source *source, uint32_t events)
{
	struct engine *engine = source->owner;
	struct engine_message message;
	int fds[FDS_PER_MESSAGE];
	size_t count;
	ssize_t size = fd_receive(engine->control, &message, sizeof(message), fds, &count);
	size_t i;

	(void)events;
	if (size == -EAGAIN)
		return;
	if (size < (ssize_t)offsetof(struct engine_message, body)) {
		supervisor_gone(engine);
		return;
	}
	/* A text ends where its message ends, whatever it holds. */
	if (size < (ssize_t)sizeof(message))
		((char *)&message)[size] = '\0';
	message.body.text[ENGINE_MESSAGE_TEXT_MAX - 1] = '\0';
	take(engine, &message, fds[0]);
	for (i = 0; i < count; i++)
		fd_close(&fds[i]);
}

int link_open(struct engine *engine)
{
	return loop_add(engine->loop, &engine->control_source, engine->control, EPOLLIN, readable,
			engine);
}
