/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/start.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "engine/connection.h"
#include "engine/engine.h"
#include "engine/follow.h"
#include "engine/link.h"
#include "engine/sandbox.h"
#include "policy/compile.h"
#include "policy/yaml/source.h"

struct engine *engine_create(int control)
{
	struct engine *engine = calloc(1, sizeof(*engine));

	if (!engine)
		return NULL;
	engine->control = control;
	engine->supervised = true;
	engine->doorbell = -1;
	engine->recovery_log_fd = -1;
	engine->loop = loop_create();
	engine->lingers = engine->loop ? linger_list_create(engine->loop) : NULL;
	if (!engine->lingers) {
		loop_destroy(engine->loop);
		free(engine);
		return NULL;
	}
	flights_init(engine);
	follow_init(engine);
	return engine;
}

void engine_destroy(struct engine *engine)
{
	linger_list_free(engine->lingers);
	socket_table_free(engine->sockets);
	while (engine->spare) {
		struct connection *connection = engine->spare;

		engine->spare = connection->next;
		free(connection);
	}
	if (engine->policy)
		policy_free(engine->policy);
	if (engine->transport)
		engine->transport->ops->close(engine->transport);
	if (engine->queue)
		audit_queue_close(engine->queue);
	if (engine->host)
		host_view_close(engine->host);
	if (engine->plugins)
		plugin_registry_free(engine->plugins);
	fd_close(&engine->doorbell);
	recovery_log_close(&engine->recovery_log);
	fd_close(&engine->recovery_log_fd);
	loop_destroy(engine->loop);
	free(engine);
}

/* Waits for the next message, which must be of this kind. Returns its bytes or -errno. */
static ssize_t expect(struct engine *engine, enum engine_message_kind kind,
		      struct engine_message *message, int fds[FDS_PER_MESSAGE], size_t *count)
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

static void doorbell_rung(struct loop_source *source, uint32_t events)
{
	uint64_t rings;

	(void)events;
	/* Only the wake-up matters: the turn looks at the queue. */
	if (read(source->fd, &rings, sizeof(rings)) < 0)
		return;
}

static int open_queue(struct engine *engine, const int *fds, size_t count, struct fault *fault)
{
	int error;

	if (count != 3 && count != 4)
		return fault_set(fault, EPROTO, "START brought %zu descriptors, not 3 or 4", count);
	engine->doorbell = fds[2];
	error = audit_queue_open(&engine->queue, fds[0], fds[1], fds[2]);
	if (!error)
		error = loop_add(engine->loop, &engine->doorbell_source, engine->doorbell, EPOLLIN,
				 doorbell_rung, engine);
	if (error)
		return fault_set(fault, -error, "the trail's queue can't be opened: %s",
				 strerror(-error));
	return 0;
}

/* The descriptor is kept: its lock says that an engine of this guest lives. */
static int open_recovery_log(struct engine *engine, int fd, struct fault *fault)
{
	int error = recovery_log_open(&engine->recovery_log, fd, engine->start.sockets);

	engine->recovery_log_fd = fd;
	if (error)
		return fault_set(fault, -error, "the recovery log can't be mapped: %s",
				 strerror(-error));
	return 0;
}

static int take_start(struct engine *engine, struct engine_message *message, struct fault *fault)
{
	int fds[FDS_PER_MESSAGE] = {-1};
	size_t count = 0;
	ssize_t size = expect(engine, ENGINE_MESSAGE_START, message, fds, &count);
	int error;

	if (size < 0)
		return fault_set(fault, (int)-size, "no START from the supervisor: %s",
				 strerror((int)-size));
	engine->start = message->body.start;
	engine->guest = engine->start.guest;
	log_init(&engine->log, "pvcalls-engine", (enum log_level)engine->start.log_level);
	snprintf(engine->log.about, sizeof(engine->log.about), "%s: ", engine->guest.name);
	engine->sockets = socket_table_create(engine->start.sockets);
	if (!engine->sockets)
		return fault_set(fault, ENOMEM, "no memory for a table of %u sockets",
				 engine->start.sockets);
	error = open_queue(engine, fds, count, fault);
	if (!error && count == 4)
		error = open_recovery_log(engine, fds[3], fault);
	return error;
}

static void bell_rung(struct loop_source *source, uint32_t events)
{
	struct engine *engine = source->owner;

	/* The turn looks at the ports. */
	(void)events;
	if (engine->transport->ops->rung)
		engine->transport->ops->rung(engine->transport);
}

static int open_transport(struct engine *engine, const int *fds, size_t count, struct fault *fault)
{
	int error;

	if (engine->start.transport == ENGINE_TRANSPORT_XEN)
		return transport_xen_open(&engine->transport, engine->guest.domid, fault);
	error = transport_local_open(&engine->transport, fds, count);
	if (error)
		return fault_set(fault, -error, "the guest's memory can't be mapped: %s",
				 strerror(-error));
	return 0;
}

static int take_transport(struct engine *engine, struct engine_message *message,
			  struct fault *fault)
{
	int fds[FDS_PER_MESSAGE] = {-1};
	size_t count = 0;
	ssize_t size = expect(engine, ENGINE_MESSAGE_TRANSPORT, message, fds, &count);
	int error;

	if (size < 0)
		return fault_set(fault, (int)-size, "no TRANSPORT from the supervisor: %s",
				 strerror((int)-size));
	error = open_transport(engine, fds, count, fault);
	if (error)
		return error;
	error = loop_add(engine->loop, &engine->bell_source, engine->transport->fd, EPOLLIN,
			 bell_rung, engine);
	if (error)
		return fault_set(fault, -error, "the guest's events can't be watched: %s",
				 strerror(-error));
	return 0;
}

static int read_text(int fd, struct policy_source *source)
{
	struct stat status;
	ssize_t got;

	if (fstat(fd, &status) < 0)
		return -errno;
	if (status.st_size > POLICY_FILE_MAX)
		return -EFBIG;
	source->size = (size_t)status.st_size;
	source->text = malloc(source->size + 1);
	if (!source->text)
		return -ENOMEM;
	got = pread(fd, source->text, source->size, 0);
	if (got != (ssize_t)source->size)
		return got < 0 ? -errno : -EIO;
	source->text[source->size] = '\0';
	crypto_hash_sha256(source->digest, (const uint8_t *)source->text, source->size);
	return 0;
}

static int compile(struct engine *engine, const char *path, int fd, struct policy **policy,
		   struct fault *fault)
{
	struct policy_source source = {.path = strdup(path)};
	int error = source.path ? read_text(fd, &source) : -ENOMEM;

	if (error)
		fault_set(fault, -error, "%s: the policy's text can't be read: %s", path,
			  strerror(-error));
	else
		error = policy_compile(policy, &source, engine->plugins, engine->host,
				       &engine->guest, engine->policy, &engine->log, fault);
	free(source.text);
	free(source.path);
	return error;
}

int start_policy(struct engine *engine, const char *path, int fd, struct fault *fault)
{
	struct policy *policy = NULL;
	int error;

	if (fd >= 0)
		error = compile(engine, path, fd, &policy, fault);
	else
		error = policy_deny_all(&policy, engine->host, &engine->guest, &engine->log);
	if (error)
		return error;
	if (engine->policy)
		policy_free(engine->policy);
	engine->policy = policy;
	return 0;
}

static int take_policy(struct engine *engine, struct engine_message *message, struct fault *fault)
{
	int fds[FDS_PER_MESSAGE] = {-1};
	size_t count = 0;
	ssize_t size = expect(engine, ENGINE_MESSAGE_POLICY, message, fds, &count);
	int error;

	if (size < 0)
		return fault_set(fault, (int)-size, "no POLICY from the supervisor: %s",
				 strerror((int)-size));
	error = start_policy(engine, message->body.text, fds[0], fault);
	fd_close(&fds[0]);
	return error;
}

/* A supervisor that died while we can't look at our socket: see handle_orphaned(). */
static void orphaned(int number)
{
	(void)number;
	alarm(2);
}

/*
 * The control socket tells an engine that its supervisor is gone; one that is stuck in a plugin or
 * on a bell that its guest has jammed would never look. The kernel's signal gives it two seconds.
 */
static int handle_orphaned(struct fault *fault)
{
	struct sigaction action = {.sa_handler = orphaned, .sa_flags = SA_RESTART};

	if (sigaction(SIGTERM, &action, NULL) < 0 || prctl(PR_SET_PDEATHSIG, SIGTERM) < 0)
		return fault_set(fault, errno, "the supervisor's end can't be watched: %s",
				 strerror(errno));
	return 0;
}

static int open_everything(struct engine *engine, struct engine_message *message,
			   struct fault *fault)
{
	const struct engine_start_args *start = &engine->start;
	int error = take_start(engine, message, fault);

	if (!error)
		error = host_view_open(&engine->host, start->uids_first, start->uids_count, fault);
	if (!error)
		error = plugin_registry_load(&engine->plugins, start->plugin_dir, fault);
	if (!error)
		error = take_transport(engine, message, fault);
	if (!error)
		error = take_policy(engine, message, fault);
	return error;
}

static void choose_priority(struct engine *engine)
{
	/* Transports that know where the guest runs are those of guests on this machine. */
	bool adapts = engine->start.adapt_priority && !engine->transport->ops->processor;

	priority_init(&engine->priority, adapts);
	if (adapts && !engine->priority.adapts)
		log_info(&engine->log, "the priority stays as it is: that needs CAP_SYS_RESOURCE, "
				       "or engine.priority: fixed in pvcallsd.yaml");
}

static int give_up_everything(struct engine *engine, struct fault *fault)
{
	const struct engine_start_args *start = &engine->start;
	int error = sandbox_raise_limits(start->sockets, fault);

	choose_priority(engine);
	if (!error)
		error = sandbox_drop_privileges(start->uid, start->low_ports, fault);
	if (!error)
		error = handle_orphaned(fault);
	if (!error)
		error = sandbox_close(engine->transport, fault);
	return error;
}

int engine_start(struct engine *engine)
{
	struct engine_message *message = malloc(sizeof(*message));
	struct fault fault = {.text = "no memory"};
	int error = -ENOMEM;

	if (message)
		error = open_everything(engine, message, &fault);
	free(message);
	if (!error)
		error = give_up_everything(engine, &fault);
	if (!error)
		error = link_open(engine);
	if (error) {
		link_send(engine, ENGINE_MESSAGE_FAILED, (uint32_t)-error, 0, fault.text);
		return error;
	}
	link_send(engine, ENGINE_MESSAGE_READY, 0, 0, NULL);
	return 0;
}
