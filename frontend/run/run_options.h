/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line of pvcalls-run, and what its exit status says. */
#ifndef RUN_OPTIONS_H
#define RUN_OPTIONS_H

#include <stdint.h>

#include <pvcalls/frontend.h>

enum run_status {
	RUN_USAGE = 2,
	RUN_UNREACHABLE = 4,   /* the daemon, or what the sandbox needs */
	RUN_FORBIDDEN = 5,     /* the guest's name was refused */
	RUN_NOT_STARTED = 126, /* COMMAND was found and can't be executed */
	RUN_NOT_FOUND = 127,
	RUN_SIGNAL = 128, /* plus the signal that killed COMMAND */
};

#define RUN_NAME_MAX 64

struct run_options {
	const char *runtime_dir; /* NULL: not given */
	enum pvcalls_front_transport transport;
	char name[RUN_NAME_MAX];
	uint32_t order; /* 0: chosen per socket */
	char **command; /* NULL-terminated, in argv */
};

/* Reads the command line. 0; or -1 after --help or --version; or a status to exit with, after a
 * line on standard error. */
int run_options_parse(struct run_options *options, int argc, char **argv);

#endif
