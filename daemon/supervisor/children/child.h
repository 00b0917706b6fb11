/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A child process: started with only the descriptors it needs, watched through its pidfd. */
#ifndef SUPERVISOR_CHILDREN_CHILD_H
#define SUPERVISOR_CHILDREN_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/loop.h"

#define CHILD_FD_FIRST 3 /* where the given descriptors begin in the child */
#define CHILD_FDS_MAX  4

/* A program to start. Everything is borrowed during child_start(). */
struct child_program {
	const char *path;
	char *const *argv;
	const int *fds; /* become CHILD_FD_FIRST and following */
	size_t fd_count;
	int log_fd; /* becomes standard error */
};

/* How a process ended: as in siginfo_t. */
struct child_end {
	int code; /* CLD_EXITED, CLD_KILLED or CLD_DUMPED */
	int status;
};

struct child;
typedef void (*child_exited_fn)(struct child *child, const struct child_end *end);

/* Embedded in its owner. Zeroed means: none. */
struct child {
	pid_t pid; /* 0: none */
	int pidfd;
	struct loop *loop;
	struct loop_source source;
	child_exited_fn exited; /* called once, after the process was reaped */
	void *owner;
};

/* Starts program in a session of its own. Returns 0 or -errno. */
int child_start(struct child *child, struct loop *loop, const struct child_program *program,
		child_exited_fn exited, void *owner);
/* Watches a process that the caller has just forked. Returns 0 or -errno (then it is killed). */
int child_watch(struct child *child, struct loop *loop, pid_t pid, child_exited_fn exited,
		void *owner);
/* Sends a signal; nothing if it has ended. */
void child_signal(struct child *child, int number);
/* Stops watching; the process is left alone. */
void child_forget(struct child *child);

/* "exit status 3" or "signal 9 (Killed)", into text. */
void child_describe_end(const struct child_end *end, char *text, size_t size);

/* In a forked child: closes all but the standard descriptors and keep (-1: none). */
void child_close_others(int keep);

#endif
