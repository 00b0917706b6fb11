/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation. The start is a line of steps, each of which waits for the one before: what
 * takes time (checking policies, the writer opening the trail) is waited for by turning the loop.
 * Guests are let in last, when every call they make can be decided and stored.
 */
#include "supervisor/start.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "supervisor/commands.h"
#include "supervisor/daemonise.h"

#define WRITER_START_NS (60 * NS_PER_S) /* a large journal may have to be folded in */
#define DETACH_NS       (2 * NS_PER_S)
#define STORE_NS        (5 * NS_PER_S)
#define LOG_NAME        "pvcallsd.log"

static bool privileged(void)
{
	return geteuid() == 0;
}

static void reload_by_signal(struct supervisor *supervisor)
{
	struct fault fault = {.text = ""};

	if (supervisor->stage != SUPERVISOR_SERVING)
		return;
	if (reload_start(&supervisor->reload, 0, NULL, NULL, &fault))
		log_error(&supervisor->log, "reload: %s", fault.text);
}

static void signalled(struct loop_source *source, uint32_t events)
{
	struct supervisor *supervisor = source->owner;
	struct signalfd_siginfo info;

	(void)events;
	if (read(supervisor->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP) {
		reload_by_signal(supervisor);
		return;
	}
	log_info(&supervisor->log, "stopping: %s", strsignal((int)info.ssi_signo));
	supervisor->stage = SUPERVISOR_STOPPING;
}

static int watch_signals(struct supervisor *supervisor)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return -errno;
	supervisor->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (supervisor->signal_fd < 0)
		return -errno;
	return loop_add(supervisor->loop, &supervisor->signals, supervisor->signal_fd, EPOLLIN,
			signalled, supervisor);
}

/* Engines inherit it: each socket of a guest is a descriptor. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static enum exit_status fail(struct supervisor *supervisor, int error, const char *what)
{
	fault_set(&supervisor->fault, -error, "%s: %s", what, strerror(-error));
	return STATUS_ENVIRONMENT;
}

static enum exit_status open_log(struct supervisor *supervisor)
{
	char path[PATH_MAX + sizeof(LOG_NAME) + 1];

	if (supervisor->options->foreground)
		return STATUS_OK;
	snprintf(path, sizeof(path), "%s/" LOG_NAME, supervisor->directories.state);
	supervisor->log_fd =
		open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (supervisor->log_fd < 0) {
		fault_set(&supervisor->fault, errno, "%s: %s", path, strerror(errno));
		return STATUS_ENVIRONMENT;
	}
	return STATUS_OK;
}

static enum exit_status open_loop(struct supervisor *supervisor)
{
	int error;

	supervisor->loop = loop_create();
	if (!supervisor->loop)
		return fail(supervisor, -errno, "cannot make an event loop");
	raise_file_limit();
	error = watch_signals(supervisor);
	return error ? fail(supervisor, error, "cannot watch signals") : STATUS_OK;
}

static void policies_checked(void *owner, int error, const struct fault *fault)
{
	struct supervisor *supervisor = owner;

	supervisor->policies_checked = true;
	supervisor->policies_error = error;
	if (error)
		supervisor->fault = *fault;
}

static enum exit_status load_policies(struct supervisor *supervisor)
{
	const struct options *options = supervisor->options;
	struct config *config = &supervisor->config;
	int error;

	supervisor->policies = (struct policies){
		.loop = supervisor->loop,
		.directories = options->policy_dirs,
		.directory_count = options->policy_dir_count,
		.directories_given = options->policy_dirs_given,
		.plugin_dir = supervisor->directories.plugins,
		.check_uid =
			privileged() ? config->uids_first + config->uids_count - 1 : UINT32_MAX,
	};
	error = policies_load(&supervisor->policies, policies_checked, supervisor,
			      &supervisor->fault);
	if (error == -ENOENT || error == -EMFILE || error == -ENOMEM)
		return STATUS_ENVIRONMENT;
	if (error)
		return error == -EACCES ? STATUS_PERMISSION : STATUS_INPUT;
	while (!supervisor->policies_checked && supervisor->stage == SUPERVISOR_STARTING)
		loop_turn(supervisor->loop, LOOP_FOREVER);
	return supervisor->policies_error ? STATUS_INPUT : STATUS_OK;
}

static void writer_is_ready(void *owner)
{
	struct supervisor *supervisor = owner;

	supervisor->writer_ready = true;
}

static void writer_in_trouble(void *owner, const char *text)
{
	struct supervisor *supervisor = owner;

	if (supervisor->stage == SUPERVISOR_STARTING) {
		fault_set(&supervisor->fault, EIO, "%s", text);
		return;
	}
	log_error(&supervisor->log, "%s", text);
	writer_event(supervisor->writer, AUDIT_EVENT_DISK, NULL, 0, "%s", text);
}

static void queue_damaged(void *owner, const uint8_t queue_id[16], const char *text)
{
	struct supervisor *supervisor = owner;

	log_error(&supervisor->log, "a queue of the trail is damaged: %s", text);
	engines_kill_queue(&supervisor->engines, queue_id,
			   "damaged its queue of the trail and was killed");
}

static enum exit_status start_writer(struct supervisor *supervisor)
{
	const struct config *config = &supervisor->config;
	const struct writer_options options = {
		.program = supervisor->directories.auditd,
		.directory_fd = supervisor->directories.audit_fd,
		.log_fd = supervisor->log_fd,
		.uid = privileged() ? config->audit_uid : WRITER_STAY,
		.sync = config->sync,
		.segment_bytes = config->segment_bytes,
		.segment_age_s = config->segment_age_s,
	};
	const struct writer_calls calls = {
		.ready = writer_is_ready,
		.trouble = writer_in_trouble,
		.damaged = queue_damaged,
		.owner = supervisor,
	};
	uint64_t deadline_ns = clock_monotonic_ns() + WRITER_START_NS;

	if (writer_create(&supervisor->writer, supervisor->loop, &supervisor->log, &options, &calls,
			  &supervisor->fault))
		return STATUS_ENVIRONMENT;
	while (!supervisor->writer_ready && !supervisor->fault.text[0] &&
	       supervisor->stage == SUPERVISOR_STARTING) {
		uint64_t now_ns = clock_monotonic_ns();

		if (now_ns >= deadline_ns) {
			fault_set(&supervisor->fault, ETIMEDOUT,
				  "the audit writer did not open %s/audit within 60 s",
				  supervisor->directories.state);
			break;
		}
		loop_turn(supervisor->loop, deadline_ns - now_ns);
	}
	return supervisor->fault.text[0] ? STATUS_ENVIRONMENT : STATUS_OK;
}

static enum exit_status prepare_engines(struct supervisor *supervisor)
{
	int error;

	supervisor->engines = (struct engines){
		.loop = supervisor->loop,
		.log = &supervisor->log,
		.writer = supervisor->writer,
		.config = &supervisor->config,
		.program = supervisor->directories.engine,
		.plugin_dir = supervisor->directories.plugins,
		.log_fd = supervisor->log_fd,
		.privileged = privileged(),
		.transport = supervisor->options->transport == OPTIONS_XEN ? ENGINE_TRANSPORT_XEN
									   : ENGINE_TRANSPORT_LOCAL,
	};
	error = engines_open(&supervisor->engines);
	if (error)
		return fail(supervisor, error, "engines");
	supervisor->guests = (struct guests){
		.loop = supervisor->loop,
		.log = &supervisor->log,
		.engines = &supervisor->engines,
		.writer = supervisor->writer,
		.config = &supervisor->config,
		.policies = &supervisor->policies,
		.runtime_dir = supervisor->directories.runtime,
		.policy_taken = reload_policy_taken,
		.gone = reload_guest_gone,
		.owner = &supervisor->reload,
	};
	reload_init(&supervisor->reload, &supervisor->policies, &supervisor->guests);
	return STATUS_OK;
}

static int open_transport(struct supervisor *supervisor)
{
	guests_events(&supervisor->guests, &supervisor->events);
	if (supervisor->options->transport == OPTIONS_XEN)
		return transport_xen_listen(&supervisor->host, supervisor->loop,
					    &supervisor->events, &supervisor->fault);
	return transport_local_listen(&supervisor->host, supervisor->directories.runtime,
				      supervisor->loop, &supervisor->events, &supervisor->fault);
}

static enum exit_status listen_for_all(struct supervisor *supervisor)
{
	int error = commands_open(supervisor, &supervisor->fault);

	if (!error)
		error = open_transport(supervisor);
	return exit_status_of(error);
}

static void announce(struct supervisor *supervisor)
{
	const struct directories *directories = &supervisor->directories;

	supervisor->stage = SUPERVISOR_SERVING;
	supervisor->started_ns = clock_monotonic_ns();
	writer_event(supervisor->writer, AUDIT_EVENT_START, NULL, geteuid(),
		     "pvcallsd %s, process %d, %zu policies", supervisor->version, (int)getpid(),
		     supervisor->policies.set.count);
	if (supervisor->options->transport == OPTIONS_XEN)
		log_info(&supervisor->log, "ready: %zu policies, guests of Xen are served",
			 supervisor->policies.set.count);
	else
		log_info(&supervisor->log, "ready: %zu policies, guests attach at %s/local.sock",
			 supervisor->policies.set.count, directories->runtime);
	if (!privileged())
		log_warning(&supervisor->log,
			    "running as user %u, not root: engines and the audit writer keep this "
			    "user's rights, and only their sandbox stands between them",
			    (unsigned int)geteuid());
	if (supervisor->policies.set.count == 0)
		log_warning(&supervisor->log, "no policies: every call of every guest is denied");
}

static enum exit_status take_directories(struct supervisor *supervisor)
{
	uint32_t audit_uid = privileged() ? supervisor->config.audit_uid : UINT32_MAX;

	return exit_status_of(directories_take(&supervisor->directories, supervisor->options,
					       audit_uid, &supervisor->fault));
}

enum exit_status supervisor_start(struct supervisor *supervisor)
{
	static enum exit_status (*const steps[])(struct supervisor *) = {
		take_directories, open_log,        open_loop,      load_policies,
		start_writer,     prepare_engines, listen_for_all,
	};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		enum exit_status status = steps[i](supervisor);

		if (status)
			return status;
		if (supervisor->stage == SUPERVISOR_STOPPING) /* told so while starting */
			return STATUS_OK;
	}
	announce(supervisor);
	if (supervisor->parent_fd >= 0)
		daemonise_detach(supervisor->log_fd);
	daemonise_tell(&supervisor->parent_fd, STATUS_OK);
	return STATUS_OK;
}

enum exit_status supervisor_check(struct supervisor *supervisor)
{
	enum exit_status status = open_loop(supervisor);

	if (!status)
		status = load_policies(supervisor);
	if (status)
		return status;
	printf("ok: configuration %s, %zu policies, plugins of %s\n", supervisor->options->config,
	       supervisor->policies.set.count, supervisor->directories.plugins);
	for (size_t i = 0; i < supervisor->policies.set.count; i++)
		printf("ok: %s\n", supervisor->policies.set.sources[i].path);
	return STATUS_OK;
}

static bool engines_run(struct supervisor *supervisor)
{
	return supervisor->engines.list != NULL;
}

static bool rows_wait(struct supervisor *supervisor)
{
	struct writer_status status;

	writer_status(supervisor->writer, &status);
	return status.pending > 0;
}

static bool writer_runs(struct supervisor *supervisor)
{
	struct writer_status status;

	writer_status(supervisor->writer, &status);
	return status.pid != 0;
}

/* Turns the loop while more() says so, for at most so long. */
static void turn_while(struct supervisor *supervisor, bool (*more)(struct supervisor *),
		       uint64_t at_most_ns)
{
	uint64_t deadline_ns = clock_monotonic_ns() + at_most_ns;
	uint64_t now_ns;

	while (more(supervisor) && (now_ns = clock_monotonic_ns()) < deadline_ns)
		loop_turn(supervisor->loop, deadline_ns - now_ns);
}

void supervisor_stop(struct supervisor *supervisor)
{
	guests_stop(&supervisor->guests);
	turn_while(supervisor, engines_run, DETACH_NS);
	if (engines_run(supervisor))
		log_warning(&supervisor->log, "%u engines did not end within 2 s: killing them",
			    supervisor->engines.count);
	engines_kill_all(&supervisor->engines);
	turn_while(supervisor, engines_run, DETACH_NS);
	writer_event(supervisor->writer, AUDIT_EVENT_STOP, NULL, geteuid(), "pvcallsd stops");
	turn_while(supervisor, rows_wait, STORE_NS);
	if (rows_wait(supervisor))
		log_error(&supervisor->log,
			  "not all records were stored within 5 s: the audit writer goes on alone");
	writer_retire(supervisor->writer);
	turn_while(supervisor, writer_runs, STORE_NS);
	log_info(&supervisor->log, "stopped");
}

void supervisor_release(struct supervisor *supervisor)
{
	reload_stop(&supervisor->reload);
	if (supervisor->engines.slots)
		engines_close(&supervisor->engines);
	/* After the engines: questions that were open have been answered now. */
	if (supervisor->control)
		control_socket_close(supervisor->control);
	guests_free(&supervisor->guests);
	if (supervisor->host)
		supervisor->host->ops->stop(supervisor->host);
	policies_free(&supervisor->policies);
	writer_destroy(supervisor->writer);
	if (supervisor->loop) {
		loop_remove(supervisor->loop, &supervisor->signals);
		loop_destroy(supervisor->loop);
	}
	fd_close(&supervisor->signal_fd);
	if (supervisor->log_fd != STDERR_FILENO)
		fd_close(&supervisor->log_fd);
	directories_release(&supervisor->directories);
	config_clear(&supervisor->config);
}
