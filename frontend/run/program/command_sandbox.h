/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The process COMMAND runs in: user and network namespace, filter, exec. */
#ifndef PROGRAM_COMMAND_SANDBOX_H
#define PROGRAM_COMMAND_SANDBOX_H

#include <sys/types.h>

/* A COMMAND that has been forked. */
struct command_sandbox {
	pid_t pid;
	int notify_fd; /* seccomp notifications; owned by the caller */
	int status_fd; /* see command_sandbox_exec_error(); owned by the caller */
};

/*
 * Forks COMMAND into its namespaces up to just before its execution. 0; or -errno, with what failed
 * in *step (a literal).
 */
int command_sandbox_start(struct command_sandbox *sandbox, char **command, const char **step);
/*
 * After status_fd was readable: 0 if COMMAND is being executed, or the errno execvp() failed with.
 */
int command_sandbox_exec_error(const struct command_sandbox *sandbox);

#endif
