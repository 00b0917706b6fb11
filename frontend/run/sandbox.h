/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The process COMMAND runs in: user and network namespace, filter, exec. */
#ifndef RUN_SANDBOX_H
#define RUN_SANDBOX_H

#include <sys/types.h>

/* A COMMAND that has been forked. */
struct sandbox {
	pid_t pid;
	int notify_fd; /* seccomp notifications; owned by the caller */
	int status_fd; /* see sandbox_exec_error(); owned by the caller */
};

/*
 * Forks COMMAND into its namespaces up to just before its execution. 0; or -errno, with what failed
 * in *step (a literal).
 */
int sandbox_start(struct sandbox *sandbox, char **command, const char **step);
/*
 * After status_fd was readable: 0 if COMMAND is being executed, or the errno execvp() failed with.
 */
int sandbox_exec_error(const struct sandbox *sandbox);

#endif
