/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/startup/supervisor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "supervisor/startup/daemonise.h"
#include "supervisor/startup/supervisor_start.h"
#include "supervisor/startup/supervisor_state.h"
#include "supervisor/startup/supervisor_stop.h"

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
		.signal_fd = -1,
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
