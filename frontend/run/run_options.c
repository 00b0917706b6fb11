/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/run_options.h"

#include <getopt.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <pvcalls/frontend.h>

#include "base/decimal.h"

static const char usage[] =
	"usage: pvcalls-run [--transport auto|local|xen] [--name GUEST] [--runtime-dir DIR]\n"
	"                   [--ring-order N] -- COMMAND [ARGUMENT...]\n";

static const char help[] =
	"\nRuns COMMAND as a guest of pvcallsd: its TCP sockets are opened by the daemon, under\n"
	"the guest's policy; it has no other network.\n\n"
	"  --transport KIND   local: to a daemon on this machine; xen: from a Xen guest to its\n"
	"                     backend (default: xen in a guest with a PV Calls device)\n"
	"  --name GUEST       local: the guest's name (default: USER-run-PID)\n"
	"  --runtime-dir DIR  local: where the daemon's socket is (default: " PVCALLS_FRONT_RUNTIME_DIR
	")\n"
	"  --ring-order N     size of each connection's ring, 1 to 9 (default: chosen)\n"
	"  --help, --version\n\n"
	"The exit status is COMMAND's, or 128 and its signal; see pvcalls-run(1).\n";

enum { OPTION_HELP = 1, OPTION_VERSION };

static const struct option long_options[] = {
	{"transport", required_argument, NULL, 't'},
	{"name", required_argument, NULL, 'n'},
	{"runtime-dir", required_argument, NULL, 'd'},
	{"ring-order", required_argument, NULL, 'o'},
	{"help", no_argument, NULL, OPTION_HELP},
	{"version", no_argument, NULL, OPTION_VERSION},
	{NULL, 0, NULL, 0},
};

static int run_options_parse_order(struct run_options *options, const char *text)
{
	uint64_t order;

	if (decimal_read(text, PVCALLS_FRONT_ORDER_MAX, &order) ||
	    order < PVCALLS_FRONT_ORDER_MIN) {
		fprintf(stderr, "pvcalls-run: --ring-order %s: a number from 1 to 9 is needed\n",
			text);
		return RUN_USAGE;
	}
	options->order = (uint32_t)order;
	return 0;
}

static int run_options_parse_transport(struct run_options *options, const char *text)
{
	static const char *const names[] = {[PVCALLS_FRONT_AUTO] = "auto",
					    [PVCALLS_FRONT_LOCAL] = "local",
					    [PVCALLS_FRONT_XEN] = "xen"};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(text, names[i]) != 0)
			continue;
		options->transport = (enum pvcalls_front_transport)i;
		return 0;
	}
	fprintf(stderr, "pvcalls-run: --transport %s: auto, local or xen is needed\n", text);
	return RUN_USAGE;
}

static int run_options_parse_name(struct run_options *options, const char *name)
{
	if (!*name || strlen(name) >= sizeof(options->name)) {
		fprintf(stderr, "pvcalls-run: --name %s: 1 to %zu bytes are needed\n", name,
			sizeof(options->name) - 1);
		return RUN_USAGE;
	}
	snprintf(options->name, sizeof(options->name), "%s", name);
	return 0;
}

/* Unique on this host for as long as we live. */
static void run_options_make_name(struct run_options *options)
{
	const struct passwd *user = getpwuid(getuid());

	if (user && strlen(user->pw_name) < 32)
		snprintf(options->name, sizeof(options->name), "%.32s-run-%d", user->pw_name,
			 (int)getpid());
	else
		snprintf(options->name, sizeof(options->name), "uid%u-run-%d", (unsigned)getuid(),
			 (int)getpid());
}

static int run_options_parse_option(struct run_options *options, int option)
{
	switch (option) {
	case 't':
		return run_options_parse_transport(options, optarg);
	case 'n':
		return run_options_parse_name(options, optarg);
	case 'd':
		options->runtime_dir = optarg;
		return 0;
	case 'o':
		return run_options_parse_order(options, optarg);
	case OPTION_HELP:
		printf("%s%s", usage, help);
		return -1;
	case OPTION_VERSION:
		printf("pvcalls-run 0.1.0\n");
		return -1;
	default:
		fputs(usage, stderr);
		return RUN_USAGE;
	}
}

int run_options_parse(struct run_options *options, int argc, char **argv)
{
	int option;
	int status;

	*options = (struct run_options){0};
	run_options_make_name(options);
	while ((option = getopt_long(argc, argv, "+", long_options, NULL)) != -1) {
		status = run_options_parse_option(options, option);
		if (status)
			return status;
	}
	if (optind == argc) {
		fprintf(stderr, "pvcalls-run: no command is given\n%s", usage);
		return RUN_USAGE;
	}
	options->command = argv + optind;
	return 0;
}
