/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The whole daemon: everything of it, started, run and stopped in order. */
#ifndef SUPERVISOR_SUPERVISOR_H
#define SUPERVISOR_SUPERVISOR_H

#include <stdint.h>

#include "base/log.h"
#include "base/loop.h"
#include "supervisor/config.h"
#include "supervisor/control_socket.h"
#include "supervisor/directories.h"
#include "supervisor/engines.h"
#include "supervisor/exit_status.h"
#include "supervisor/guests.h"
#include "supervisor/options.h"
#include "supervisor/policies.h"
#include "supervisor/reload.h"
#include "supervisor/writer.h"

enum supervisor_stage {
	SUPERVISOR_STARTING,
	SUPERVISOR_SERVING,
	SUPERVISOR_STOPPING,
};

struct supervisor {
	const struct options *options;
	const char *version;
	struct log log;
	struct config config;
	struct directories directories;
	struct loop *loop;
	struct policies policies;
	struct writer *writer;
	struct engines engines;
	struct guests guests;
	struct device_events events;
	struct transport_host *host;
	struct reload reload;
	struct control_socket *control;
	struct loop_source signals;
	int signal_fd;
	int log_fd;    /* of this and all children */
	int parent_fd; /* where the caller waits; -1 in the foreground */
	enum supervisor_stage stage;
	bool policies_checked; /* the first check is over, with this outcome: */
	int policies_error;
	bool writer_ready;
	uint64_t started_ns;
	struct fault fault; /* why the start failed */
};

/* Runs the daemon until it is told to stop, or --check-config. Returns the exit status. */
enum exit_status supervisor_main(struct supervisor *supervisor, const struct options *options,
				 const char *version);

#endif
