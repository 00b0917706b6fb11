/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon's life, from top to bottom: start, serve, stop.
 *
 * Theory of operation. The start is a line of steps, each of which waits for the one before: what
 * takes time (checking policies, auditd opening the trail) is waited for by turning the loop.
 * Guests are let in last, when every call they make can be decided and stored.
 */
#include "supervisor/startup/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "supervisor/children/auditd_process.h"
#include "supervisor/children/engine_processes.h"
#include "supervisor/control/commands.h"
#include "supervisor/guests/guests.h"
#include "supervisor/policies/policies.h"
#include "supervisor/policies/reload.h"
#include "supervisor/settings/config.h"
#include "supervisor/startup/daemonise.h"
#include "supervisor/startup/directories.h"
#include "supervisor/startup/signal_watch.h"
#include "transport/device.h"
#include "transport/local_host.h"
#include "transport/xen_host.h"

#define SUPERVISOR_LOG_NAME  "pvcallsd.log"
#define SUPERVISOR_AUDITD_NS (60 * NS_PER_S) /* to fold in a large write-ahead log */
#define SUPERVISOR_DETACH_NS (2 * NS_PER_S)
#define SUPERVISOR_STORE_NS  (5 * NS_PER_S)

enum supervisor_stage {
	SUPERVISOR_STARTING,
	SUPERVISOR_SERVING,
	SUPERVISOR_STOPPING,
};

/* All that a running pvcallsd holds; the layers below are given what they need of it. */
struct supervisor {
	const struct daemon_options *options;
	const char *version;
	struct log log;
	struct config config;
	struct directories directories;
	struct loop *loop;
	struct policies policies;
	struct auditd_process *auditd;
	struct engine_processes engines;
	struct guests guests;
	struct device_events events;
	struct transport_host *host;
	struct reload reload;
	struct commands commands;
	struct signal_watch signals;
	int log_fd;    /* of this and all children */
	int parent_fd; /* where the caller waits; -1 in the foreground */
	enum supervisor_stage stage;
	bool policies_checked; /* the first check is over, with this outcome: */
	int policies_error;
	bool auditd_ready;
	struct fault fault;    /* why the start failed */
	struct fault warnings; /* of the policies, one per line */
};

static bool supervisor_is_privileged(void)
{
	return geteuid() == 0;
}

static void supervisor_told_to_reload(void *owner)
{
	struct supervisor *supervisor = owner;
	struct fault fault = {.text = ""};

	if (supervisor->stage != SUPERVISOR_SERVING)
		return;
	if (reload_start(&supervisor->reload, 0, NULL, NULL, &fault))
		log_error(&supervisor->log, "reload: %s", fault.text);
}

static void supervisor_told_to_stop(void *owner, int number)
{
	struct supervisor *supervisor = owner;

	log_info(&supervisor->log, "stopping: %s", strsignal(number));
	supervisor->stage = SUPERVISOR_STOPPING;
}

/* Engines inherit it: each socket of a guest is a descriptor. */
static void supervisor_raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static enum exit_status supervisor_fail(struct supervisor *supervisor, int error, const char *what)
{
	fault_set(&supervisor->fault, -error, "%s: %s", what, strerror(-error));
	return STATUS_ENVIRONMENT;
}

static enum exit_status supervisor_open_log(struct supervisor *supervisor)
{
	char path[PATH_MAX + sizeof(SUPERVISOR_LOG_NAME) + 1];

	if (supervisor->options->foreground)
		return STATUS_OK;
	snprintf(path, sizeof(path), "%s/" SUPERVISOR_LOG_NAME, supervisor->directories.state);
	supervisor->log_fd =
		open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (supervisor->log_fd < 0) {
		fault_set(&supervisor->fault, errno, "%s: %s", path, strerror(errno));
		return STATUS_ENVIRONMENT;
	}
	return STATUS_OK;
}

static enum exit_status supervisor_open_loop(struct supervisor *supervisor)
{
	const struct signal_watch_calls calls = {.reload = supervisor_told_to_reload,
						 .stop = supervisor_told_to_stop,
						 .owner = supervisor};
	int error;

	supervisor->loop = loop_create();
	if (!supervisor->loop)
		return supervisor_fail(supervisor, -errno, "cannot make an event loop");
	supervisor_raise_file_limit();
	error = signal_watch_open(&supervisor->signals, supervisor->loop, &calls);
	return error ? supervisor_fail(supervisor, error, "cannot watch signals") : STATUS_OK;
}

static void supervisor_policies_checked(void *owner, int error, const struct fault *fault)
{
	struct supervisor *supervisor = owner;

	supervisor->policies_checked = true;
	supervisor->policies_error = error;
	if (error)
		supervisor->fault = *fault;
	else
		supervisor->warnings = *fault;
}

static enum exit_status supervisor_load_policies(struct supervisor *supervisor)
{
	const struct daemon_options *options = supervisor->options;
	struct config *config = &supervisor->config;
	int error;

	_Static_assert(DAEMON_POLICY_DIRS_MAX <= POLICIES_DIRECTORIES_MAX, "all can be read");
	supervisor->policies = (struct policies){
		.loop = supervisor->loop,
		.directories = options->policy_dirs,
		.directory_count = options->policy_dir_count,
		.directories_given = options->policy_dirs_given,
		.plugin_dir = supervisor->directories.plugins,
		.check_uid = supervisor_is_privileged()
				     ? config->uids_first + config->uids_count - 1
				     : UINT32_MAX,
		.low_ports = supervisor_is_privileged() && config->low_ports,
	};
	error = policies_load(&supervisor->policies, supervisor_policies_checked, supervisor,
			      &supervisor->fault);
	if (error == -ENOENT || error == -EMFILE || error == -ENOMEM)
		return STATUS_ENVIRONMENT;
	if (error)
		return error == -EACCES ? STATUS_PERMISSION : STATUS_INPUT;
	while (!supervisor->policies_checked && supervisor->stage == SUPERVISOR_STARTING)
		loop_turn(supervisor->loop, LOOP_FOREVER);
	return supervisor->policies_error ? STATUS_INPUT : STATUS_OK;
}

static void supervisor_auditd_ready(void *owner)
{
	struct supervisor *supervisor = owner;

	supervisor->auditd_ready = true;
}

static void supervisor_auditd_in_trouble(void *owner, const char *text)
{
	struct supervisor *supervisor = owner;

	if (supervisor->stage == SUPERVISOR_STARTING) {
		fault_set(&supervisor->fault, EIO, "%s", text);
		return;
	}
	log_error(&supervisor->log, "%s", text);
	auditd_process_event(supervisor->auditd, AUDIT_EVENT_DISK, NULL, 0, "%s", text);
}

static void supervisor_queue_damaged(void *owner, const uint8_t queue_id[16], const char *text)
{
	struct supervisor *supervisor = owner;

	log_error(&supervisor->log, "a queue of the trail is damaged: %s", text);
	engine_processes_kill_queue(&supervisor->engines, queue_id,
				    "damaged its queue of the trail and was killed");
}

static enum exit_status supervisor_start_auditd(struct supervisor *supervisor)
{
	const struct config *config = &supervisor->config;
	const struct auditd_process_options options = {
		.program = supervisor->directories.auditd,
		.directory_fd = supervisor->directories.audit_fd,
		.log_fd = supervisor->log_fd,
		.uid = supervisor_is_privileged() ? config->audit_uid : AUDITD_STAY,
		.sync = config->sync,
		.segment_bytes = config->segment_bytes,
		.segment_age_s = config->segment_age_s,
	};
	const struct auditd_process_calls calls = {
		.ready = supervisor_auditd_ready,
		.trouble = supervisor_auditd_in_trouble,
		.damaged = supervisor_queue_damaged,
		.owner = supervisor,
	};
	uint64_t deadline_ns = clock_monotonic_ns() + SUPERVISOR_AUDITD_NS;

	if (auditd_process_create(&supervisor->auditd, supervisor->loop, &supervisor->log, &options,
				  &calls, &supervisor->fault))
		return STATUS_ENVIRONMENT;
	while (!supervisor->auditd_ready && !supervisor->fault.text[0] &&
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

static enum exit_status supervisor_prepare_engines(struct supervisor *supervisor)
{
	int error;

	supervisor->engines = (struct engine_processes){
		.loop = supervisor->loop,
		.log = &supervisor->log,
		.auditd = supervisor->auditd,
		.config = &supervisor->config,
		.program = supervisor->directories.engine,
		.plugin_dir = supervisor->directories.plugins,
		.log_fd = supervisor->log_fd,
		.privileged = supervisor_is_privileged(),
		.transport = supervisor->options->transport == DAEMON_TRANSPORT_XEN
				     ? ENGINE_TRANSPORT_XEN
				     : ENGINE_TRANSPORT_LOCAL,
	};
	error = engine_processes_open(&supervisor->engines);
	if (error)
		return supervisor_fail(supervisor, error, "engines");
	supervisor->guests = (struct guests){
		.loop = supervisor->loop,
		.log = &supervisor->log,
		.engines = &supervisor->engines,
		.auditd = supervisor->auditd,
		.config = &supervisor->config,
		.policies = &supervisor->policies.set,
		.runtime_dir = supervisor->directories.runtime,
		.policy_taken = reload_policy_taken,
		.gone = reload_guest_gone,
		.owner = &supervisor->reload,
	};
	reload_init(&supervisor->reload, &supervisor->policies, &supervisor->guests);
	return STATUS_OK;
}

static int supervisor_open_transport(struct supervisor *supervisor)
{
	guests_events(&supervisor->guests, &supervisor->events);
	if (supervisor->options->transport == DAEMON_TRANSPORT_XEN)
		return xen_host_listen(&supervisor->host, supervisor->loop, &supervisor->events,
				       &supervisor->fault);
	return local_host_listen(&supervisor->host, supervisor->directories.runtime,
				 supervisor->loop, &supervisor->events, &supervisor->fault);
}

static enum exit_status supervisor_listen_for_all(struct supervisor *supervisor)
{
	int error;

	supervisor->commands = (struct commands){
		.loop = supervisor->loop,
		.log = &supervisor->log,
		.config = &supervisor->config,
		.policies = &supervisor->policies,
		.reload = &supervisor->reload,
		.guests = &supervisor->guests,
		.auditd = supervisor->auditd,
		.version = supervisor->version,
		.transport =
			supervisor->options->transport == DAEMON_TRANSPORT_XEN ? "xen" : "local",
		.state_dir = supervisor->directories.state,
		.plugin_dir = supervisor->directories.plugins,
	};
	error = commands_open(&supervisor->commands, supervisor->directories.runtime,
			      &supervisor->fault);
	if (!error)
		error = supervisor_open_transport(supervisor);
	return exit_status_of(error);
}

static void supervisor_announce(struct supervisor *supervisor)
{
	const struct directories *directories = &supervisor->directories;

	supervisor->stage = SUPERVISOR_SERVING;
	supervisor->commands.started_ns = clock_monotonic_ns();
	auditd_process_event(supervisor->auditd, AUDIT_EVENT_START, NULL, geteuid(),
			     "pvcallsd %s, process %d, %zu policies", supervisor->version,
			     (int)getpid(), supervisor->policies.set.count);
	if (supervisor->options->transport == DAEMON_TRANSPORT_XEN)
		log_info(&supervisor->log, "ready: %zu policies, guests of Xen are served",
			 supervisor->policies.set.count);
	else
		log_info(&supervisor->log, "ready: %zu policies, guests attach at %s/local.sock",
			 supervisor->policies.set.count, directories->runtime);
	if (!supervisor_is_privileged())
		log_warning(&supervisor->log,
			    "running as user %u, not root: engines and the audit writer keep this "
			    "user's rights, and only their sandbox stands between them",
			    (unsigned int)geteuid());
	if (supervisor->policies.set.count == 0)
		log_warning(&supervisor->log, "no policies: every call of every guest is denied");
	if (supervisor->warnings.text[0])
		log_lines(&supervisor->log, LOG_LEVEL_WARNING, "policies",
			  supervisor->warnings.text);
}

static enum exit_status supervisor_take_directories(struct supervisor *supervisor)
{
	uint32_t audit_uid = supervisor_is_privileged() ? supervisor->config.audit_uid : UINT32_MAX;

	return exit_status_of(directories_take(&supervisor->directories, supervisor->options,
					       audit_uid, &supervisor->fault));
}

/*
 * Brings everything up; returns when all of it serves. Returns STATUS_OK, or the exit status with
 * supervisor->fault.
 */
static enum exit_status supervisor_start(struct supervisor *supervisor)
{
	static enum exit_status (*const steps[])(struct supervisor *) = {
		supervisor_take_directories, supervisor_open_log,     supervisor_open_loop,
		supervisor_load_policies,    supervisor_start_auditd, supervisor_prepare_engines,
		supervisor_listen_for_all,
	};

	ASSERT(supervisor->stage == SUPERVISOR_STARTING);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		enum exit_status status = steps[i](supervisor);

		if (status)
			return status;
		if (supervisor->stage == SUPERVISOR_STOPPING) /* told so while starting */
			return STATUS_OK;
	}
	supervisor_announce(supervisor);
	if (supervisor->parent_fd >= 0)
		daemonise_detach(supervisor->log_fd);
	daemonise_tell(&supervisor->parent_fd, STATUS_OK);
	return STATUS_OK;
}

/* Checks configuration, policies and plugins; prints what was found. */
static enum exit_status supervisor_check(struct supervisor *supervisor)
{
	enum exit_status status = supervisor_open_loop(supervisor);

	if (!status)
		status = supervisor_load_policies(supervisor);
	if (status)
		return status;
	printf("ok: configuration %s, %zu policies, plugins of %s\n", supervisor->options->config,
	       supervisor->policies.set.count, supervisor->directories.plugins);
	for (size_t i = 0; i < supervisor->policies.set.count; i++)
		printf("ok: %s\n", supervisor->policies.set.sources[i].path);
	if (supervisor->warnings.text[0])
		printf("%s\n", supervisor->warnings.text);
	return STATUS_OK;
}

static bool supervisor_engines_run(struct supervisor *supervisor)
{
	return supervisor->engines.list;
}

static bool supervisor_rows_wait(struct supervisor *supervisor)
{
	struct auditd_process_status status;

	auditd_process_status(supervisor->auditd, &status);
	return status.pending > 0;
}

static bool supervisor_auditd_runs(struct supervisor *supervisor)
{
	struct auditd_process_status status;

	auditd_process_status(supervisor->auditd, &status);
	return status.pid != 0;
}

/* Turns the loop while more() says so, for at most so long. */
static void supervisor_turn_while(struct supervisor *supervisor, bool (*more)(struct supervisor *),
				  uint64_t at_most_ns)
{
	uint64_t deadline_ns = clock_monotonic_ns() + at_most_ns;
	uint64_t now_ns;

	while (more(supervisor) && (now_ns = clock_monotonic_ns()) < deadline_ns)
		loop_turn(supervisor->loop, deadline_ns - now_ns);
}

/* Of a daemon that serves: ends guests, stores the last record, and lets auditd finish. */
static void supervisor_stop(struct supervisor *supervisor)
{
	ASSERT(supervisor->stage == SUPERVISOR_STOPPING);
	guests_stop(&supervisor->guests);
	supervisor_turn_while(supervisor, supervisor_engines_run, SUPERVISOR_DETACH_NS);
	if (supervisor_engines_run(supervisor))
		log_warning(&supervisor->log, "%u engines did not end within 2 s: killing them",
			    supervisor->engines.count);
	engine_processes_kill_all(&supervisor->engines);
	supervisor_turn_while(supervisor, supervisor_engines_run, SUPERVISOR_DETACH_NS);
	auditd_process_event(supervisor->auditd, AUDIT_EVENT_STOP, NULL, geteuid(),
			     "pvcallsd stops");
	supervisor_turn_while(supervisor, supervisor_rows_wait, SUPERVISOR_STORE_NS);
	if (supervisor_rows_wait(supervisor))
		log_error(&supervisor->log,
			  "not all records were stored within 5 s: the audit writer goes on alone");
	auditd_process_retire(supervisor->auditd);
	supervisor_turn_while(supervisor, supervisor_auditd_runs, SUPERVISOR_STORE_NS);
	log_info(&supervisor->log, "stopped");
}

/* Frees whatever there is, however far the start came. */
static void supervisor_release(struct supervisor *supervisor)
{
	reload_stop(&supervisor->reload);
	if (supervisor->engines.slots)
		engine_processes_close(&supervisor->engines);
	/* After the engines: questions that were open have been answered now. */
	commands_close(&supervisor->commands);
	guests_free(&supervisor->guests);
	if (supervisor->host)
		supervisor->host->ops->stop(supervisor->host);
	policies_free(&supervisor->policies);
	auditd_process_destroy(supervisor->auditd);
	signal_watch_close(&supervisor->signals);
	if (supervisor->loop)
		loop_destroy(supervisor->loop);
	if (supervisor->log_fd != STDERR_FILENO)
		fd_close(&supervisor->log_fd);
	directories_release(&supervisor->directories);
	config_clear(&supervisor->config);
}

/* What is checked before anything is made: in this process, with the caller's terminal. */
static enum exit_status supervisor_prepare(struct supervisor *supervisor)
{
	const struct daemon_options *options = supervisor->options;
	int error;

	if (options->transport == DAEMON_TRANSPORT_XEN && !options->check_config &&
	    geteuid() != 0) {
		fault_set(&supervisor->fault, EPERM,
			  "--transport xen: root is needed to map guests' memory; the engines give "
			  "it up");
		return STATUS_PERMISSION;
	}
	error = config_load(&supervisor->config, options->config, options->config_given,
			    &supervisor->fault);
	if (!error)
		error = directories_find(&supervisor->directories, options, &supervisor->fault);
	return exit_status_of(error);
}

static enum exit_status supervisor_run(struct supervisor *supervisor)
{
	enum exit_status status = supervisor_start(supervisor);

	if (status)
		return status;
	if (supervisor->stage == SUPERVISOR_STOPPING)
		return STATUS_OK; /* nothing had begun to serve */
	while (supervisor->stage == SUPERVISOR_SERVING) {
		int error = loop_turn(supervisor->loop, LOOP_FOREVER);

		if (error < 0 && error != -EINTR) {
			fault_set(&supervisor->fault, -error, "the event loop failed: %s",
				  strerror(-error));
			return STATUS_ENVIRONMENT;
		}
	}
	supervisor_stop(supervisor);
	return STATUS_OK;
}

/* Each line of a fault is a line of the log: "what, where, what to do". */
static void supervisor_complain(struct supervisor *supervisor)
{
	char *rest = NULL;

	for (char *line = strtok_r(supervisor->fault.text, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest))
		log_error(&supervisor->log, "%s", line);
}

enum exit_status supervisor_main(const struct daemon_options *options, const char *version)
{
	struct supervisor *supervisor = malloc(sizeof(*supervisor));
	enum exit_status status;

	if (!supervisor) {
		fputs("pvcallsd: no memory\n", stderr);
		return STATUS_ENVIRONMENT;
	}

	*supervisor = (struct supervisor){
		.options = options,
		.version = version,
		.directories = {.audit_fd = -1, .state_lock = -1, .runtime_lock = -1},
		.log_fd = STDERR_FILENO,
		.parent_fd = -1,
	};
	log_init(&supervisor->log, "pvcallsd", options->log_level);
	status = supervisor_prepare(supervisor);
	if (!status && !options->foreground && !options->check_config) {
		supervisor->parent_fd = daemonise_begin();
		if (supervisor->parent_fd < 0)
			status = STATUS_ENVIRONMENT;
	}
	if (!status)
		status = options->check_config ? supervisor_check(supervisor)
					       : supervisor_run(supervisor);
	supervisor_complain(supervisor);
	supervisor_release(supervisor);
	daemonise_tell(&supervisor->parent_fd, status);
	free(supervisor);
	return status;
}
