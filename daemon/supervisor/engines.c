/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/engines.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "audit/queue/audit_queue.h"
#include "base/clock.h"
#include "base/fd.h"
#include "supervisor/engine_messages.h"
#include "transport/transport.h"

int engines_open(struct engines *engines)
{
	engines->slots = calloc(engines->config->uids_count, 1);
	return engines->slots ? 0 : -ENOMEM;
}

static int take_slot(struct engines *engines, uint32_t *slot)
{
	for (uint32_t i = 0; i < engines->config->uids_count; i++) {
		if (engines->slots[i])
			continue;
		engines->slots[i] = 1;
		*slot = i;
		return 0;
	}
	return -EUSERS;
}

static void unlink_engine(struct engine *engine)
{
	struct engine **place = &engine->engines->list;

	while (*place != engine)
		place = &(*place)->next;
	*place = engine->next;
	engine->engines->count--;
}

static void close_socket(struct engine *engine)
{
	loop_remove(engine->engines->loop, &engine->source);
	fd_close(&engine->socket);
}

static void free_engine(struct engine *engine)
{
	struct engines *engines = engine->engines;

	engine_questions_fail(engine, -EPIPE);
	loop_disarm(engines->loop, &engine->deadline);
	loop_disarm(engines->loop, &engine->answers);
	close_socket(engine);
	child_forget(&engine->child);
	unlink_engine(engine);
	engines->slots[engine->slot] = 0;
	free(engine);
}

void engines_close(struct engines *engines)
{
	struct engine *next;

	for (struct engine *engine = engines->list; engine; engine = next) {
		next = engine->next;
		child_signal(&engine->child, SIGKILL);
		free_engine(engine);
	}
	loop_disarm(engines->loop, &engines->watchdog);
	free(engines->slots);
	engines->slots = NULL;
}

void engine_kill(struct engine *engine, const char *what)
{
	if (!engine->end[0])
		snprintf(engine->end, sizeof(engine->end), "%s", what);
	child_signal(&engine->child, SIGKILL);
}

static void deadline_passed(struct loop_timer *timer)
{
	struct engine *engine = timer->owner;
	const char *what = "did not end in time and was killed";

	if (engine->phase == ENGINE_STARTING)
		what = "was not ready within 30 s and was killed";
	else if (engine->policy_pending && engine->phase < ENGINE_DETACHING)
		what = "did not take a policy within 30 s and was killed";
	engine_kill(engine, what);
}

void engines_kill_all(struct engines *engines)
{
	for (struct engine *engine = engines->list; engine; engine = engine->next)
		engine_kill(engine, "did not end in time and was killed");
}

void engines_kill_queue(struct engines *engines, const uint8_t queue_id[16], const char *what)
{
	for (struct engine *engine = engines->list; engine; engine = engine->next) {
		if (memcmp(engine->queue_id, queue_id, sizeof(engine->queue_id)) == 0)
			engine_kill(engine, what);
	}
}

void engine_deadline(struct engine *engine, uint64_t from_now_ns)
{
	loop_arm(engine->engines->loop, &engine->deadline, clock_monotonic_ns() + from_now_ns,
		 deadline_passed, engine);
}

void engine_finish(struct engine *engine, uint64_t within_ns)
{
	engine->phase = ENGINE_ENDING;
	close_socket(engine);
	engine_deadline(engine, within_ns);
}

/* The process has ended, asked or not. */
static void exited(struct child *child, const struct child_end *end)
{
	struct engine *engine = child->owner;
	struct engines *engines = engine->engines;
	const struct engine_calls *calls = engine->calls;
	void *owner;
	char how[64];
	char text[192];

	child_describe_end(end, how, sizeof(how));
	/* What it said before its end still counts: a DETACHED, or why the guest was cut off. */
	if (engine->socket >= 0)
		engine_receive(engine);
	owner = engine->owner;
	writer_finish(engines->writer, engine->queue_id);
	if (engine->phase == ENGINE_ENDING && !engine->end[0]) {
		free_engine(engine);
		return;
	}
	snprintf(text, sizeof(text), "%s (%s)", engine->end[0] ? engine->end : "ended unasked",
		 how);
	log_error(engines->log, "guest %s: its engine %s", engine->guest.name, text);
	writer_event(engines->writer, AUDIT_EVENT_ENGINE_CRASHED, engine->guest.name, 0,
		     "the engine %s", text);
	free_engine(engine);
	if (owner)
		calls->ended(owner, text);
}

static void readable(struct loop_source *source, uint32_t events)
{
	struct engine *engine = source->owner;

	(void)events;
	engine_receive(engine);
}

static int spawn(struct engine *engine, int socket)
{
	static char name[] = "pvcalls-engine";
	char *argv[] = {name, engine->guest.name, NULL};
	const struct child_program program = {
		.path = engine->engines->program,
		.argv = argv,
		.fds = &socket,
		.fd_count = 1,
		.log_fd = engine->engines->log_fd,
	};

	return child_start(&engine->child, engine->engines->loop, &program, exited, engine);
}

static void fill_start(const struct engine *engine, struct engine_start_args *start)
{
	const struct engines *engines = engine->engines;
	const struct config *config = engines->config;

	*start = (struct engine_start_args){
		.guest = engine->guest,
		.transport = engines->transport,
		.uid = engines->privileged ? config->uids_first + engine->slot : ENGINE_STAY,
		.uids_first = engines->privileged ? config->uids_first : 0,
		.uids_count = engines->privileged ? config->uids_count : 0,
		.low_ports = config->low_ports,
		.sync = config->sync,
		.log_level = engines->log->level,
		.sockets = config->sockets,
		.adapt_priority = config->adapt_priority,
	};
	snprintf(start->plugin_dir, sizeof(start->plugin_dir), "%s", engines->plugin_dir);
}

static int send_start(struct engine *engine, int memfd, int doorbell, int recovery_log)
{
	const int fds[] = {memfd, writer_doorbell(engine->engines->writer), doorbell, recovery_log};
	struct {
		uint32_t kind;
		uint32_t value;
		uint64_t number;
		struct engine_start_args start;
	} message = {.kind = ENGINE_MESSAGE_START};

	_Static_assert(offsetof(struct engine_message, body) ==
			       offsetof(__typeof__(message), start),
		       "the same layout, without the room for texts");
	fill_start(engine, &message.start);
	return fd_send(engine->socket, &message, sizeof(message), fds, recovery_log < 0 ? 3 : 4);
}

static int send_transport(struct engine *engine, struct device *device)
{
	int fds[TRANSPORT_DESCRIPTORS_MAX];
	size_t count = device->host->ops->descriptors(device, fds);

	return engine_message_send(engine->socket, ENGINE_MESSAGE_TRANSPORT, (uint32_t)count, 0,
				   NULL, fds, (uint32_t)count);
}

/* Makes the queue, tells the writer of it, and sends everything that an engine needs to begin. */
static int equip(struct engine *engine, struct device *device, const struct policy_source *policy,
		 int recovery_log)
{
	struct audit_identity identity = {.domid = engine->guest.domid};
	autoclose int memfd = -1;
	autoclose int doorbell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	int error;

	memcpy(identity.name, engine->guest.name, sizeof(identity.name));
	memcpy(identity.uuid, engine->guest.uuid, sizeof(identity.uuid));
	memcpy(identity.queue_id, engine->queue_id, sizeof(identity.queue_id));
	memfd = audit_queue_create(&identity);
	if (memfd < 0 || doorbell < 0)
		return memfd < 0 ? memfd : -EMFILE;
	error = send_start(engine, memfd, doorbell, recovery_log);
	if (!error)
		error = send_transport(engine, device);
	if (!error)
		error = engine_send_policy(engine, policy);
	if (!error)
		error = writer_add(engine->engines->writer, engine->queue_id, memfd, doorbell);
	return error;
}

static int open_socket(struct engine *engine, int *other)
{
	int ends[2];
	int error;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	engine->socket = ends[0];
	*other = ends[1];
	error = loop_add(engine->engines->loop, &engine->source, ends[0], EPOLLIN, readable,
			 engine);
	return error;
}

static int launch(struct engine *engine, struct device *device, const struct policy_source *policy,
		  int recovery_log)
{
	autoclose int other = -1;
	int error = open_socket(engine, &other);

	if (error)
		return error;
	if (getrandom(engine->queue_id, sizeof(engine->queue_id), 0) !=
	    (ssize_t)sizeof(engine->queue_id))
		return -EIO;
	/* Everything lies in the socket before the process is there to read it. */
	error = equip(engine, device, policy, recovery_log);
	if (error)
		return error;
	error = spawn(engine, other);
	if (error)
		writer_finish(engine->engines->writer, engine->queue_id);
	return error;
}

int engine_begin(struct engines *engines, struct engine **made, struct device *device,
		 const struct policy_source *policy, int recovery_log,
		 const struct engine_calls *calls, void *owner, struct fault *fault)
{
	struct engine *engine = calloc(1, sizeof(*engine));
	int error;

	if (!engine)
		return fault_set(fault, ENOMEM, "no memory for another engine");
	*engine = (struct engine){
		.engines = engines,
		.socket = -1,
		.guest = device->guest,
		.calls = calls,
		.owner = owner,
	};
	engine->guest.size = sizeof(engine->guest);
	error = take_slot(engines, &engine->slot);
	if (error) {
		free(engine);
		return fault_set(fault, -error,
				 "all %u user ids of engine.uids are in use: widen the range in "
				 "pvcallsd.yaml",
				 engines->config->uids_count);
	}
	engine->next = engines->list;
	engines->list = engine;
	engines->count++;
	error = launch(engine, device, policy, recovery_log);
	if (error) {
		free_engine(engine);
		return fault_set(fault, -error, "cannot start an engine: %s", strerror(-error));
	}
	engine_deadline(engine, ENGINE_START_NS);
	*made = engine;
	return 0;
}

void engine_release(struct engine *engine, enum audit_close reason)
{
	int error;

	if (engine->phase >= ENGINE_DETACHING)
		return;
	engine->phase = ENGINE_DETACHING;
	engine_deadline(engine, ENGINE_END_NS);
	error = engine_message_send(engine->socket, ENGINE_MESSAGE_DETACH, reason, 0, NULL, NULL,
				    0);
	if (error == -EPIPE || error == -ECONNRESET)
		engine_finish(engine,
			      ENGINE_END_NS); /* it is ending by itself, having told us why */
	else if (error)
		engine_kill(engine, "did not read its orders and was killed");
}

void engine_leave(struct engine *engine, enum audit_close reason)
{
	engine->owner = NULL;
	engine_release(engine, reason);
}
