/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Carries out what the control socket is asked. */
#ifndef SUPERVISOR_CONTROL_COMMANDS_H
#define SUPERVISOR_CONTROL_COMMANDS_H

#include <stdint.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/loop.h"
#include "supervisor/children/auditd_process.h"
#include "supervisor/control/control_socket.h"
#include "supervisor/guests/guests.h"
#include "supervisor/policies/policies.h"
#include "supervisor/policies/reload.h"
#include "supervisor/settings/config.h"

/* What commands speak of; all is borrowed. Filled by the owner. */
struct commands {
	struct loop *loop;
	const struct log *log;
	const struct config *config;
	const struct policies *policies;
	struct reload *reload;
	struct guests *guests;
	struct auditd_process *auditd;
	const char *version;
	const char *transport; /* its name */
	const char *state_dir;
	const char *plugin_dir;
	uint64_t started_ns; /* CLOCK_MONOTONIC */
	/* its own */
	struct control_socket *socket;
};

/* Opens the control socket in runtime_dir. Returns 0 or -errno with *fault. */
int commands_open(struct commands *commands, const char *runtime_dir, struct fault *fault);
/* Closes it, if it is open. No engine may owe an answer any more. */
void commands_close(struct commands *commands);

#endif
