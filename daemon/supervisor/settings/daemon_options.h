/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line of pvcallsd. */
#ifndef SUPERVISOR_SETTINGS_DAEMON_OPTIONS_H
#define SUPERVISOR_SETTINGS_DAEMON_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/fault.h"
#include "base/log.h"

#define DAEMON_POLICY_DIRS_MAX 16u

enum daemon_transport {
	DAEMON_TRANSPORT_LOCAL,
	DAEMON_TRANSPORT_XEN,
};

/* As given, or defaults. Strings are borrowed from argv. */
struct daemon_options {
	enum daemon_transport transport;
	const char *policy_dirs[DAEMON_POLICY_DIRS_MAX];
	size_t policy_dir_count;
	bool policy_dirs_given;
	const char *state_dir;
	const char *runtime_dir;
	const char *plugin_dir; /* NULL: beside the program, or the system's */
	const char *config;
	bool config_given;
	bool foreground;
	bool check_config;
	bool help;
	bool version;
	enum log_level log_level;
};

/* Reads the command line. Returns 0, or -EINVAL with *fault: what was wrong with it. */
int daemon_options_parse(struct daemon_options *options, int argc, char **argv,
			 struct fault *fault);

/* The text of --help. */
extern const char daemon_options_help[];

#endif
