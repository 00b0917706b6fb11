/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The supervisor's program; all of it is in supervisor/. */
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "supervisor/settings/daemon_options.h"
#include "supervisor/startup/supervisor.h"

int main(int argc, char **argv)
{
	struct daemon_options options;
	struct fault fault;

	/* What a caller left open is none of our business, nor of our children's. */
	close_range(STDERR_FILENO + 1, UINT_MAX, 0);
	if (daemon_options_parse(&options, argc, argv, &fault)) {
		fprintf(stderr, "pvcallsd: %s; see pvcallsd --help\n", fault.text);
		return STATUS_USAGE;
	}
	if (options.help || options.version) {
		fputs(options.help ? daemon_options_help : "pvcallsd " PVCALLS_VERSION "\n",
		      stdout);
		return STATUS_OK;
	}
	return (int)supervisor_main(&options, PVCALLS_VERSION);
}
