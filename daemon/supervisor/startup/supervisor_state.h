/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All that a running pvcallsd holds. Only startup/ sees it; the layers below get what they need. */
#ifndef SUPERVISOR_STARTUP_SUPERVISOR_STATE_H
#define SUPERVISOR_STARTUP_SUPERVISOR_STATE_H

#include <stdbool.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/loop.h"
#include "supervisor/children/auditd_process.h"
#include "supervisor/children/engine_processes.h"
#include "supervisor/control/commands.h"
#include "supervisor/guests/guests.h"
#include "supervisor/policies/policies.h"
#include "supervisor/policies/reload.h"
#include "supervisor/settings/config.h"
#include "supervisor/settings/daemon_options.h"
#include "supervisor/startup/directories.h"
#include "transport/device.h"

enum supervisor_stage {
	SUPERVISOR_STARTING,
	SUPERVISOR_SERVING,
	SUPERVISOR_STOPPING,
};

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
	struct loop_source signals;
	int signal_fd;
	int log_fd;    /* of this and all children */
	int parent_fd; /* where the caller waits; -1 in the foreground */
	enum supervisor_stage stage;
	bool policies_checked; /* the first check is over, with this outcome: */
	int policies_error;
	bool auditd_ready;
	struct fault fault; /* why the start failed */
};

#endif
