/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/lifecycle/engine_start.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "engine/lifecycle/engine.h"
#include "engine/lifecycle/engine_commands.h"
#include "engine/lifecycle/engine_policy.h"
#include "engine/lifecycle/engine_sandbox.h"
#include "engine/lifecycle/host_watch.h"
#include "engine/lifecycle/supervisor_link.h"
#include "policy/host_view/host_view.h"
#include "policy/plugin_host/allowances.h"
#include "policy/plugin_host/plugin_registry.h"
#include "transport/local_backend.h"
#include "transport/xen_backend.h"

/* Waits for the next message, which must be of this kind. Returns its bytes or -errno. */
static ssize_t engine_start_expect(struct engine *engine, enum engine_message_kind kind,
				   struct engine_message *message, int fds[FDS_PER_MESSAGE],
				   size_t *count)
{
	struct pollfd ready = {.fd = engine->control, .events = POLLIN};
	ssize_t size;

	do {
		if (poll(&ready, 1, -1) < 0 && errno != EINTR)
			return -errno;
		size = fd_receive(engine->control, message, sizeof(*message), fds, count);
	} while (size == -EAGAIN);
	if (size <= 0)
		return size ? size : -EPIPE;
	if (message->kind != (uint32_t)kind)
		return -EPROTO;
	if ((size_t)size < sizeof(*message))
		((char *)message)[size] = '\0';
	message->body.text[ENGINE_MESSAGE_TEXT_MAX - 1] = '\0';
	return size;
}

static void engine_start_queue_event(struct loop_source *source, uint32_t events)
{
	uint64_t rings;

	(void)events;
	/* Only the wake-up matters: the turn looks at the queue. */
	if (read(source->fd, &rings, sizeof(rings)) < 0)
		return;
}

static int engine_start_queue(struct engine *engine, const int *fds, size_t count,
			      struct fault *fault)
{
	int error;

	if (count != 4 && count != 5)
		return fault_set(fault, EPROTO, "START brought %zu descriptors, not 4 or 5", count);
	engine->queue_event = fds[2];
	error = audit_queue_open(&engine->calls.queue, fds[0], fds[1], fds[2]);
	if (!error)
		error = loop_add(engine->loop, &engine->queue_source, engine->queue_event, EPOLLIN,
				 engine_start_queue_event, engine);
	if (error)
		return fault_set(fault, -error, "the trail's queue can't be opened: %s",
				 strerror(-error));
	return 0;
}

static int engine_start_allowances(struct engine *engine, int fd, struct fault *fault)
{
	int error = allowances_map(&engine->allowances, fd);

	close(fd);
	if (error)
		return fault_set(fault, -error, "the memory for limits can't be mapped: %s",
				 strerror(-error));
	return 0;
}

/* The descriptor is kept: its lock says that an engine of this guest lives. */
static int engine_start_recovery_log(struct engine *engine, int fd, struct fault *fault)
{
	int error = recovery_log_open(&engine->recovery_log, fd, engine->start.sockets);

	engine->recovery_fd = fd;
	if (error)
		return fault_set(fault, -error, "the recovery log can't be mapped: %s",
				 strerror(-error));
	return 0;
}

static int engine_start_take_start(struct engine *engine, struct engine_message *message,
				   struct fault *fault)
{
	int fds[FDS_PER_MESSAGE] = {-1};
	size_t count = 0;
	ssize_t size = engine_start_expect(engine, ENGINE_MESSAGE_START, message, fds, &count);
	int error;

	if (size < 0)
		return fault_set(fault, (int)-size, "no START from the supervisor: %s",
				 strerror((int)-size));
	engine->start = message->body.start;
	engine->guest = engine->start.guest;
	engine->calls.sync = engine->start.sync;
	log_init(&engine->log, "pvcalls-engine", (enum log_level)engine->start.log_level);
	snprintf(engine->log.about, sizeof(engine->log.about), "%s: ", engine->guest.name);
	engine->calls.sockets = socket_table_create(engine->start.sockets, &engine->calls);
	if (!engine->calls.sockets)
		return fault_set(fault, ENOMEM, "no memory for a table of %u sockets",
				 engine->start.sockets);
	error = engine_start_queue(engine, fds, count, fault);
	if (!error)
		error = engine_start_allowances(engine, fds[3], fault);
	if (!error && count == 5)
		error = engine_start_recovery_log(engine, fds[4], fault);
	return error;
}

static void engine_start_transport_event(struct loop_source *source, uint32_t events)
{
	struct engine *engine = source->owner;

	/* The turn looks at the ports. */
	(void)events;
	if (engine->transport->ops->readable)
		engine->transport->ops->readable(engine->transport);
}

static int engine_start_transport(struct engine *engine, const int *fds, size_t count,
				  struct fault *fault)
{
	int error;

	if (engine->start.transport == ENGINE_TRANSPORT_XEN)
		return xen_backend_open(&engine->transport, engine->guest.domid, fault);
	error = local_backend_open(&engine->transport, fds, count);
	if (error)
		return fault_set(fault, -error, "the guest's memory can't be mapped: %s",
				 strerror(-error));
	return 0;
}

static int engine_start_take_transport(struct engine *engine, struct engine_message *message,
				       struct fault *fault)
{
	int fds[FDS_PER_MESSAGE] = {-1};
	size_t count = 0;
	ssize_t size = engine_start_expect(engine, ENGINE_MESSAGE_TRANSPORT, message, fds, &count);
	int error;

	if (size < 0)
		return fault_set(fault, (int)-size, "no TRANSPORT from the supervisor: %s",
				 strerror((int)-size));
	error = engine_start_transport(engine, fds, count, fault);
	if (error)
		return error;
	error = loop_add(engine->loop, &engine->transport_source, engine->transport->fd, EPOLLIN,
			 engine_start_transport_event, engine);
	if (error)
		return fault_set(fault, -error, "the guest's events can't be watched: %s",
				 strerror(-error));
	return 0;
}

static int engine_start_take_policy(struct engine *engine, struct engine_message *message,
				    struct fault *fault)
{
	int fds[FDS_PER_MESSAGE] = {-1};
	size_t count = 0;
	ssize_t size = engine_start_expect(engine, ENGINE_MESSAGE_POLICY, message, fds, &count);
	int error;

	if (size < 0)
		return fault_set(fault, (int)-size, "no POLICY from the supervisor: %s",
				 strerror((int)-size));
	error = engine_policy_replace(engine, message->body.text, fds[0], fault);
	fd_close(&fds[0]);
	return error;
}

/* A supervisor that died while we can't look at our socket: see engine_start_handle_orphaned(). */
static void engine_start_orphaned(int number)
{
	(void)number;
	alarm(2);
}

/*
 * The control socket tells an engine that its supervisor is gone; one that is stuck in a plugin or
 * on an eventfd that its guest has filled would never look. The kernel's signal gives it two
 * seconds.
 */
static int engine_start_handle_orphaned(struct fault *fault)
{
	struct sigaction action = {.sa_handler = engine_start_orphaned, .sa_flags = SA_RESTART};

	if (sigaction(SIGTERM, &action, NULL) < 0 || prctl(PR_SET_PDEATHSIG, SIGTERM) < 0)
		return fault_set(fault, errno, "the supervisor's end can't be watched: %s",
				 strerror(errno));
	return 0;
}

static int engine_start_plugins(struct engine *engine, struct fault *fault)
{
	int error = plugin_registry_load(&engine->plugins, engine->start.plugin_dir, fault);

	if (!error)
		plugin_registry_mark_hooks(engine->plugins, audit_queue_hook(engine->calls.queue));
	return error;
}

static int engine_start_open(struct engine *engine, struct engine_message *message,
			     struct fault *fault)
{
	const struct engine_start_args *start = &engine->start;
	int error = engine_start_take_start(engine, message, fault);

	if (!error)
		error = host_view_open(&engine->host, start->uids_first, start->uids_count, fault);
	if (!error && host_watch_open(engine) < 0)
		error = fault_set(fault, ENOMEM, "the host's addresses can't be watched");
	if (!error)
		error = engine_start_plugins(engine, fault);
	if (!error)
		error = engine_start_take_transport(engine, message, fault);
	if (!error)
		error = engine_start_take_policy(engine, message, fault);
	return error;
}

static void engine_start_priority(struct engine *engine)
{
	/* Transports that know where the guest runs are those of guests on this machine. */
	bool adapts = engine->start.adapt_priority && !engine->transport->ops->processor;

	priority_init(&engine->turn.priority, adapts);
	if (adapts && !engine->turn.priority.adapts)
		log_info(&engine->log, "the priority stays as it is: that needs CAP_SYS_RESOURCE, "
				       "or engine.priority: fixed in pvcallsd.yaml");
}

static int engine_start_give_up(struct engine *engine, struct fault *fault)
{
	const struct engine_start_args *start = &engine->start;
	int error = engine_sandbox_raise_limits(start->sockets, fault);

	engine_start_priority(engine);
	if (!error)
		error = engine_sandbox_drop_privileges(start->uid, start->low_ports, fault);
	host_view_set_first_port(engine->host, engine_sandbox_first_port());
	if (!error)
		error = engine_start_handle_orphaned(fault);
	if (!error)
		error = engine_sandbox_close(engine->transport, fault);
	return error;
}

int engine_start(struct engine *engine)
{
	struct engine_message *message = malloc(sizeof(*message));
	struct fault fault = {.text = "no memory"};
	int error = -ENOMEM;

	if (message)
		error = engine_start_open(engine, message, &fault);
	free(message);
	if (!error)
		error = engine_start_give_up(engine, &fault);
	if (!error)
		error = engine_commands_open(engine);
	if (error) {
		supervisor_link_send(engine, ENGINE_MESSAGE_FAILED, (uint32_t)-error, 0,
				     fault.text);
		return error;
	}
	supervisor_link_send(engine, ENGINE_MESSAGE_READY, 0, 0, NULL);
	return 0;
}
