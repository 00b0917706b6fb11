/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/children/engine_processes.h"

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
#include "base/assert.h"
#include "base/fd.h"
#include "call/hook_mark.h"
#include "supervisor/children/engine_inbox.h"
#include "supervisor/children/engine_orders.h"
#include "supervisor/children/engine_questions.h"
#include "supervisor/children/engine_watchdog.h"

int engine_processes_open(struct engine_processes *engines)
{
	ASSERT(!engines->slots && !engines->list);
	engines->slots = calloc(engines->config->uids_count, 1);
	return engines->slots ? 0 : -ENOMEM;
}

static int engine_processes_take_slot(struct engine_processes *engines, uint32_t *slot)
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

static void engine_processes_unlink(struct engine_processes *engines, struct engine_process *engine)
{
	struct engine_process **place = &engines->list;

	while (*place != engine) {
		ASSERT(*place);
		place = &(*place)->next;
	}
	*place = engine->next;
	engines->count--;
}

static void engine_loan_return(const struct engine_loan *loan, const char *guest)
{
	loan->give_back(loan->lender, guest, loan->fd);
}

static void engine_processes_free(struct engine_process *engine)
{
	struct engine_processes *engines = engine->engines;

	ASSERT(engine->slot < engines->config->uids_count && engines->slots[engine->slot]);
	engine_questions_fail(engine, -EPIPE);
	loop_disarm(engines->loop, &engine->deadline);
	loop_disarm(engines->loop, &engine->answers);
	engine_process_close_socket(engine);
	child_forget(&engine->child);
	engine_processes_unlink(engines, engine);
	engines->slots[engine->slot] = 0;
	engine_loan_return(&engine->allowances, engine->guest.name);
	free(engine);
}

void engine_processes_close(struct engine_processes *engines)
{
	struct engine_process *next;

	for (struct engine_process *engine = engines->list; engine; engine = next) {
		next = engine->next;
		child_signal(&engine->child, SIGKILL);
		engine_processes_free(engine);
	}
	ASSERT(engines->count == 0);
	loop_disarm(engines->loop, &engines->watchdog);
	free(engines->slots);
	engines->slots = NULL;
}

void engine_processes_kill_all(struct engine_processes *engines)
{
	for (struct engine_process *engine = engines->list; engine; engine = engine->next)
		engine_process_kill(engine, "did not end in time and was killed");
}

void engine_processes_kill_queue(struct engine_processes *engines, const uint8_t queue_id[16],
				 const char *what)
{
	for (struct engine_process *engine = engines->list; engine; engine = engine->next) {
		if (memcmp(engine->queue_id, queue_id, sizeof(engine->queue_id)) == 0)
			engine_process_kill(engine, what);
	}
}

/* For those who look after the host: why, and in which plugin, if it was in one. */
static void engine_processes_tell_end(struct engine_process *engine, const char *why)
{
	struct engine_processes *engines = engine->engines;
	struct hook_mark mark;
	char where[sizeof(mark.plugin) + 48] = "";

	if (auditd_process_ended_in_hook(engines->auditd, engine->queue_id, &mark))
		snprintf(where, sizeof(where), ", in hook %s of plugin %s",
			 hook_mark_name(mark.kind), mark.plugin);
	log_error(engines->log, "guest %s: its engine %s%s", engine->guest.name, why, where);
	auditd_process_event(engines->auditd, AUDIT_EVENT_ENGINE_CRASHED, engine->guest.name, 0,
			     "the engine %s%s", why, where);
}

/* The process has ended, asked or not. */
static void engine_processes_exited(struct child *child, const struct child_end *end)
{
	struct engine_process *engine = child->owner;
	struct engine_processes *engines = engine->engines;
	const struct engine_process_calls *calls = engine->calls;
	void *owner;
	char how[64];
	char text[sizeof(engine->end) + sizeof(how) + 4];

	child_describe_end(end, how, sizeof(how));
	/* What it said before its end still counts: a DETACHED, or why the guest was cut off. */
	if (engine->socket >= 0)
		engine_inbox_receive(engine);
	owner = engine->owner;
	if (engine->phase == ENGINE_ENDING && !engine->end[0]) {
		auditd_process_finish(engines->auditd, engine->queue_id);
		engine_processes_free(engine);
		return;
	}
	snprintf(text, sizeof(text), "%s (%s)", engine->end[0] ? engine->end : "ended unasked",
		 how);
	engine_processes_tell_end(engine, text);
	auditd_process_finish(engines->auditd, engine->queue_id);
	engine_processes_free(engine);
	if (owner)
		calls->ended(owner, text);
}

static void engine_processes_readable(struct loop_source *source, uint32_t events)
{
	struct engine_process *engine = source->owner;

	(void)events;
	engine_inbox_receive(engine);
	if (engine->phase == ENGINE_ATTACHED)
		engine_watchdog_wake(engine->engines);
}

static int engine_processes_open_socket(struct engine_process *engine, int *other)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	engine->socket = ends[0];
	*other = ends[1];
	return loop_add(engine->loop, &engine->source, ends[0], EPOLLIN, engine_processes_readable,
			engine);
}

static void engine_processes_fill_start(const struct engine_process *engine,
					struct engine_start_args *args)
{
	const struct engine_processes *engines = engine->engines;
	const struct config *config = engines->config;

	*args = (struct engine_start_args){
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
		.read_local = config->read_local,
	};
	snprintf(args->plugin_dir, sizeof(args->plugin_dir), "%s", engines->plugin_dir);
}

/* Makes the queue, tells auditd of it, and sends everything that an engine needs to begin. */
static int engine_processes_equip(struct engine_process *engine, struct device *device,
				  const struct policy_source *policy,
				  const struct engine_keeps *keeps)
{
	struct auditd_process *auditd = engine->engines->auditd;
	struct audit_identity identity = {.domid = engine->guest.domid};
	struct engine_start_args args;
	autoclose int queue = -1;
	autoclose int wakes_engine = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	int error;

	memcpy(identity.name, engine->guest.name, sizeof(identity.name));
	memcpy(identity.uuid, engine->guest.uuid, sizeof(identity.uuid));
	memcpy(identity.queue_id, engine->queue_id, sizeof(identity.queue_id));
	queue = audit_queue_create(&identity);
	if (queue < 0 || wakes_engine < 0)
		return queue < 0 ? queue : -EMFILE;
	engine_processes_fill_start(engine, &args);
	error = engine_order_begin(engine,
				   &(struct engine_order_start){
					   .args = &args,
					   .queue_fd = queue,
					   .auditd_eventfd = auditd_process_eventfd(auditd),
					   .engine_eventfd = wakes_engine,
					   .keeps = *keeps,
				   },
				   device, policy);
	return error ? error : auditd_process_add(auditd, engine->queue_id, queue, wakes_engine);
}

static int engine_processes_spawn(struct engine_process *engine, int socket)
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

	_Static_assert(ENGINE_SOCKET_FD == CHILD_FD_FIRST, "where the engine looks for it");
	return child_start(&engine->child, engine->loop, &program, engine_processes_exited, engine);
}

static int engine_processes_launch(struct engine_process *engine, struct device *device,
				   const struct policy_source *policy,
				   const struct engine_keeps *keeps)
{
	autoclose int other = -1;
	int error = engine_processes_open_socket(engine, &other);

	if (error)
		return error;
	if (getrandom(engine->queue_id, sizeof(engine->queue_id), 0) !=
	    (ssize_t)sizeof(engine->queue_id))
		return -EIO;
	/* Everything lies in the socket before the process is there to read it. */
	error = engine_processes_equip(engine, device, policy, keeps);
	if (error)
		return error;
	error = engine_processes_spawn(engine, other);
	if (error)
		auditd_process_finish(engine->engines->auditd, engine->queue_id);
	return error;
}

int engine_processes_start(struct engine_processes *engines, struct engine_process **made,
			   struct device *device, const struct policy_source *policy,
			   const struct engine_keeps *keeps,
			   const struct engine_process_calls *calls, void *owner,
			   struct fault *fault)
{
	struct engine_process *engine = calloc(1, sizeof(*engine));
	int error;

	ASSERT(owner);
	if (!engine) {
		engine_loan_return(&keeps->allowances, device->guest.name);
		return fault_set(fault, ENOMEM, "no memory for another engine");
	}
	*engine = (struct engine_process){
		.engines = engines,
		.loop = engines->loop,
		.socket = -1,
		.guest = device->guest,
		.allowances = keeps->allowances,
		.calls = calls,
		.owner = owner,
	};
	engine->guest.size = sizeof(engine->guest);
	error = engine_processes_take_slot(engines, &engine->slot);
	if (error) {
		engine_loan_return(&engine->allowances, engine->guest.name);
		free(engine);
		return fault_set(fault, -error,
				 "all %u user ids of engine.uids are in use: widen the range in "
				 "pvcallsd.yaml",
				 engines->config->uids_count);
	}
	engine->next = engines->list;
	engines->list = engine;
	engines->count++;
	error = engine_processes_launch(engine, device, policy, keeps);
	if (error) {
		engine_processes_free(engine);
		return fault_set(fault, -error, "cannot start an engine: %s", strerror(-error));
	}
	engine_process_set_deadline(engine, ENGINE_START_NS);
	*made = engine;
	return 0;
}
