/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/settings/daemon_options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

const char daemon_options_help[] =
	"Usage: pvcallsd [OPTION]...\n"
	"Serves PV Calls guests: lets their socket calls through as policies say, and records them.\n"
	"\n"
	"  --transport local|xen  how guests reach us (xen in a Xen control domain, else local)\n"
	"  --policy-dir DIR       policies, repeatable; a later directory's file replaces an\n"
	"                         earlier one's of the same name (/usr/lib/pvcalls/policy.d,\n"
	"                         /etc/pvcalls/policy.d, /run/pvcalls/policy.d)\n"
	"  --state-dir DIR        where the audit trail is kept (/var/lib/pvcalls)\n"
	"  --runtime-dir DIR      where the sockets are made (/run/pvcalls)\n"
	"  --plugin-dir DIR       plugins (../plugins beside the program's directory if that\n"
	"                         exists, else /usr/lib/pvcalls/plugins)\n"
	"  --config FILE          configuration (/etc/pvcalls/pvcallsd.yaml, if it exists)\n"
	"  --foreground           do not become a daemon; log to standard error\n"
	"  --check-config         check configuration, policies and plugins, then exit\n"
	"  --log-level LEVEL      error, warning, info or debug (info)\n"
	"  --help, --version\n"
	"\n"
	"Exit status: 0 ok, 2 usage, 3 invalid configuration, policy or plugin, 4 a directory, the\n"
	"disk or a part of the program is out of reach, 5 not permitted, 6 already running.\n";

enum {
	OPTION_TRANSPORT = 256,
	OPTION_POLICY_DIR,
	OPTION_STATE_DIR,
	OPTION_RUNTIME_DIR,
	OPTION_PLUGIN_DIR,
	OPTION_CONFIG,
	OPTION_FOREGROUND,
	OPTION_CHECK_CONFIG,
	OPTION_LOG_LEVEL,
	OPTION_HELP,
	OPTION_VERSION,
};

static const struct option long_options[] = {
	{"transport", required_argument, NULL, OPTION_TRANSPORT},
	{"policy-dir", required_argument, NULL, OPTION_POLICY_DIR},
	{"state-dir", required_argument, NULL, OPTION_STATE_DIR},
	{"runtime-dir", required_argument, NULL, OPTION_RUNTIME_DIR},
	{"plugin-dir", required_argument, NULL, OPTION_PLUGIN_DIR},
	{"config", required_argument, NULL, OPTION_CONFIG},
	{"foreground", no_argument, NULL, OPTION_FOREGROUND},
	{"check-config", no_argument, NULL, OPTION_CHECK_CONFIG},
	{"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
	{"help", no_argument, NULL, OPTION_HELP},
	{"version", no_argument, NULL, OPTION_VERSION},
	{NULL, 0, NULL, 0},
};

/* Whether this is the control domain of a Xen host. */
static bool daemon_options_on_xen(void)
{
	char text[32] = "";
	FILE *file = fopen("/proc/xen/capabilities", "re");

	if (!file)
		return false;
	if (!fgets(text, sizeof(text), file))
		text[0] = '\0';
	(void)fclose(file);
	return strncmp(text, "control_d", 9) == 0;
}

static void daemon_options_set_defaults(struct daemon_options *options)
{
	*options = (struct daemon_options){
		.transport =
			daemon_options_on_xen() ? DAEMON_TRANSPORT_XEN : DAEMON_TRANSPORT_LOCAL,
		.policy_dirs = {"/usr/lib/pvcalls/policy.d", "/etc/pvcalls/policy.d",
				"/run/pvcalls/policy.d"},
		.policy_dir_count = 3,
		.state_dir = "/var/lib/pvcalls",
		.runtime_dir = "/run/pvcalls",
		.config = "/etc/pvcalls/pvcallsd.yaml",
		.log_level = LOG_LEVEL_INFO,
	};
}

static int daemon_options_read_transport(struct daemon_options *options, const char *text,
					 struct fault *fault)
{
	if (strcmp(text, "local") == 0)
		options->transport = DAEMON_TRANSPORT_LOCAL;
	else if (strcmp(text, "xen") == 0)
		options->transport = DAEMON_TRANSPORT_XEN;
	else
		return fault_set(fault, EINVAL, "--transport: expected local or xen, not '%s'",
				 text);
	return 0;
}

static int daemon_options_read_policy_dir(struct daemon_options *options, const char *text,
					  struct fault *fault)
{
	if (!options->policy_dirs_given)
		options->policy_dir_count = 0;
	options->policy_dirs_given = true;
	if (options->policy_dir_count == DAEMON_POLICY_DIRS_MAX)
		return fault_set(fault, EINVAL, "--policy-dir: given more than %u times",
				 DAEMON_POLICY_DIRS_MAX);
	options->policy_dirs[options->policy_dir_count++] = text;
	return 0;
}

static int daemon_options_read_log_level(struct daemon_options *options, const char *text,
					 struct fault *fault)
{
	static const char *const names[] = {
		[LOG_LEVEL_ERROR] = "error",
		[LOG_LEVEL_WARNING] = "warning",
		[LOG_LEVEL_INFO] = "info",
		[LOG_LEVEL_DEBUG] = "debug",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(text, names[i]) != 0)
			continue;
		options->log_level = (enum log_level)i;
		return 0;
	}
	return fault_set(fault, EINVAL,
			 "--log-level: expected error, warning, info or debug, not '%s'", text);
}

static int daemon_options_take_option(struct daemon_options *options, int option, char *const *argv,
				      struct fault *fault)
{
	switch (option) {
	case OPTION_TRANSPORT:
		return daemon_options_read_transport(options, optarg, fault);
	case OPTION_POLICY_DIR:
		return daemon_options_read_policy_dir(options, optarg, fault);
	case OPTION_STATE_DIR:
		options->state_dir = optarg;
		return 0;
	case OPTION_RUNTIME_DIR:
		options->runtime_dir = optarg;
		return 0;
	case OPTION_PLUGIN_DIR:
		options->plugin_dir = optarg;
		return 0;
	case OPTION_CONFIG:
		options->config = optarg;
		options->config_given = true;
		return 0;
	case OPTION_FOREGROUND:
		options->foreground = true;
		return 0;
	case OPTION_CHECK_CONFIG:
		options->check_config = true;
		return 0;
	case OPTION_LOG_LEVEL:
		return daemon_options_read_log_level(options, optarg, fault);
	case OPTION_HELP:
		options->help = true;
		return 0;
	case OPTION_VERSION:
		options->version = true;
		return 0;
	case ':':
		return fault_set(fault, EINVAL, "%s: a value is missing", argv[optind - 1]);
	default:
		return fault_set(fault, EINVAL, "%s: no such option", argv[optind - 1]);
	}
}

int daemon_options_parse(struct daemon_options *options, int argc, char **argv, struct fault *fault)
{
	int option;
	int error;

	daemon_options_set_defaults(options);
	optind = 0; /* glibc: begin anew, so that a test can call this twice */
	while ((option = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
		error = daemon_options_take_option(options, option, argv, fault);
		if (error)
			return error;
	}
	if (optind < argc)
		return fault_set(fault, EINVAL, "%s: arguments are not expected", argv[optind]);
	return 0;
}
