/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the supervisor asks of a running engine. */
#include "engine/lifecycle/engine_commands.h"

#include <errno.h>
#include <sys/epoll.h>

#include "base/fd.h"
#include "engine/calls/close_socket.h"
#include "engine/lifecycle/attach.h"
#include "engine/lifecycle/engine.h"
#include "engine/lifecycle/engine_policy.h"
#include "engine/lifecycle/status_report.h"
#include "engine/lifecycle/supervisor_link.h"
#include "policy/policy.h"

static void engine_commands_attach(struct engine *engine, const struct engine_message *message)
{
	struct fault fault = {.text = ""};
	int error = engine_attach(engine, &message->body.attach, &fault);

	if (error)
		supervisor_link_send(engine, ENGINE_MESSAGE_FAILED, (uint32_t)-error, 0,
				     fault.text);
	else
		supervisor_link_send(engine, ENGINE_MESSAGE_ATTACHED, 0, 0, NULL);
}

static void engine_commands_kill(struct engine *engine, const struct engine_message *message)
{
	struct guest_socket *socket =
		socket_table_by_number(engine->calls.sockets, message->number);
	struct closed_socket closed;

	if (!socket || socket->state == SOCKET_KILLED) {
		supervisor_link_send(engine, ENGINE_MESSAGE_KILLED, ENOENT, message->number, NULL);
		return;
	}
	/* The guest is told through its ring, then it may release what is gone. */
	if (close_socket(&engine->calls, socket, message->value, &closed))
		closed_sockets_record(&engine->calls, &closed, 1);
	supervisor_link_send(engine, ENGINE_MESSAGE_KILLED, 0, message->number, NULL);
}

static void engine_commands_policy(struct engine *engine, const struct engine_message *message,
				   int fd)
{
	struct fault fault = {.text = ""};
	int error = engine_policy_replace(engine, message->body.text, fd, &fault);

	supervisor_link_send(engine, ENGINE_MESSAGE_POLICY_TAKEN, (uint32_t)-error, message->number,
			     fault.text);
}

static void engine_commands_take(struct engine *engine, const struct engine_message *message,
				 int fd)
{
	switch (message->kind) {
	case ENGINE_MESSAGE_POLICY:
		engine_commands_policy(engine, message, fd);
		break;
	case ENGINE_MESSAGE_ATTACH:
		engine_commands_attach(engine, message);
		break;
	case ENGINE_MESSAGE_DETACH:
		engine_detach(engine, message->value);
		supervisor_link_send(engine, ENGINE_MESSAGE_DETACHED, engine_lingers(engine), 0,
				     NULL);
		break;
	case ENGINE_MESSAGE_PING:
		supervisor_link_send(engine, ENGINE_MESSAGE_PONG, message->value, message->number,
				     NULL);
		connections_sweep(&engine->connections);
		policy_note_allowances(engine->calls.policy);
		break;
	case ENGINE_MESSAGE_STATUS:
		status_report_send(engine, message->value, message->number);
		break;
	case ENGINE_MESSAGE_KILL:
		engine_commands_kill(engine, message);
		break;
	default:
		log_warning(&engine->log, "unknown message %u of the supervisor", message->kind);
		break;
	}
}

static void engine_commands_end(struct engine *engine)
{
	engine->supervised = false;
	engine->stop = true;
	loop_remove(engine->loop, &engine->control_source);
}

static void engine_commands_readable(struct loop_source *source, uint32_t events)
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
		engine_commands_end(engine);
		return;
	}
	/* A text ends where its message ends, whatever it holds. */
	if (size < (ssize_t)sizeof(message))
		((char *)&message)[size] = '\0';
	message.body.text[ENGINE_MESSAGE_TEXT_MAX - 1] = '\0';
	engine_commands_take(engine, &message, fds[0]);
	for (i = 0; i < count; i++)
		fd_close(&fds[i]);
}

int engine_commands_open(struct engine *engine)
{
	return loop_add(engine->loop, &engine->control_source, engine->control, EPOLLIN,
			engine_commands_readable, engine);
}
