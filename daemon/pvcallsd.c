/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The supervisor's program; all of it is in supervisor/. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "supervisor/options.h"
#include "supervisor/supervisor.h"

int main(int argc, char **argv)
{
	struct supervisor *supervisor;
	struct options options;
	struct fault fault;
	enum exit_status status;

	/* What a caller left open is none of our business, nor of our children's. */
	close_range(STDERR_FILENO + 1, UINT_MAX, 0);
	if (options_parse(&options, argc, argv, &fault)) {
		fprintf(stderr, "pvcallsd: %s; see pvcallsd --help\n", fault.text);
		return STATUS_USAGE;
	}
	if (options.help || options.version) {
		fputs(options.help ? options_help : "pvcallsd " PVCALLS_VERSION "\n", stdout);
		return STATUS_OK;
	}
	supervisor = malloc(sizeof(*supervisor));
	if (!supervisor) {
		fputs("pvcallsd: no memory\n", stderr);
		return STATUS_ENVIRONMENT;
	}
	status = supervisor_main(supervisor, &options, PVCALLS_VERSION);
	free(supervisor);
	return (int)status;
}
