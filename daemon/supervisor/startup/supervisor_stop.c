/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/startup/supervisor_stop.h"

#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/fd.h"
#include "supervisor/startup/supervisor_state.h"

#define SUPERVISOR_DETACH_NS (2 * NS_PER_S)
#define SUPERVISOR_STORE_NS  (5 * NS_PER_S)

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

void supervisor_stop(struct supervisor *supervisor)
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

void supervisor_release(struct supervisor *supervisor)
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
