/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/children/child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/fd.h"

#define CHILD_NOT_STARTED 127

/* Moves fds to CHILD_FD_FIRST and on. They first go beyond the targets, lest one overwrite another.
 */
static int child_place_descriptors(const struct child_program *program)
{
	int high[CHILD_FDS_MAX];

	for (size_t i = 0; i < program->fd_count; i++) {
		high[i] = fcntl(program->fds[i], F_DUPFD_CLOEXEC, CHILD_FD_FIRST + CHILD_FDS_MAX);
		if (high[i] < 0)
			return -errno;
	}
	for (size_t i = 0; i < program->fd_count; i++) {
		if (dup2(high[i], CHILD_FD_FIRST + (int)i) < 0)
			return -errno;
	}
	return 0;
}

static int child_place_standard(int log_fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
		return -errno;
	if (log_fd >= 0 && log_fd != STDERR_FILENO && dup2(log_fd, STDERR_FILENO) < 0)
		return -errno;
	return 0;
}

/* Undoes what the supervisor set for itself: its blocked and ignored signals. */
static void child_reset_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL); // NOLINT(cert-err33-c): cannot fail for SIGPIPE
}

static void child_exec(const struct child_program *program)
{
	/* Standard error first: log_fd may lie where the descriptors go. */
	if (child_place_standard(program->log_fd) || child_place_descriptors(program))
		_exit(CHILD_NOT_STARTED);
	close_range(CHILD_FD_FIRST + (unsigned int)program->fd_count, UINT_MAX, 0);
	child_reset_signals();
	/* A session of its own: a terminal's interrupt is for the supervisor, who then stops all in
	 * order.
	 */
	setsid();
	execv(program->path, program->argv);
	_exit(CHILD_NOT_STARTED);
}

static void child_reap(struct loop_source *source, uint32_t events)
{
	struct child *child = source->owner;
	siginfo_t info = {0};
	struct child_end end;

	(void)events;
	if (waitid(P_PIDFD, (id_t)child->pidfd, &info, WEXITED | WNOHANG) < 0 || info.si_pid == 0)
		return;
	end = (struct child_end){.code = info.si_code, .status = info.si_status};
	child_forget(child);
	child->exited(child, &end);
}

int child_watch(struct child *child, struct loop *loop, pid_t pid, child_exited_fn exited,
		void *owner)
{
	int error;
	int pidfd = pidfd_open(pid, 0);

	if (pidfd < 0) {
		error = -errno;
		goto fail;
	}
	*child = (struct child){
		.pid = pid, .pidfd = pidfd, .loop = loop, .exited = exited, .owner = owner};
	error = loop_add(loop, &child->source, pidfd, EPOLLIN, child_reap, child);
	if (!error)
		return 0;
	close(pidfd);
	*child = (struct child){0};
fail:
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return error;
}

int child_start(struct child *child, struct loop *loop, const struct child_program *program,
		child_exited_fn exited, void *owner)
{
	pid_t pid;

	ASSERT(program->fd_count <= CHILD_FDS_MAX);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		child_exec(program);
	return child_watch(child, loop, pid, exited, owner);
}

void child_signal(struct child *child, int number)
{
	if (child->pid)
		pidfd_send_signal(child->pidfd, number, NULL, 0);
}

void child_forget(struct child *child)
{
	if (!child->pid)
		return;
	loop_remove(child->loop, &child->source);
	fd_close(&child->pidfd);
	child->pid = 0;
}

void child_describe_end(const struct child_end *end, char *text, size_t size)
{
	if (end->code == CLD_EXITED)
		snprintf(text, size, "exit status %d", end->status);
	else
		snprintf(text, size, "signal %d (%s)", end->status, strsignal(end->status));
}

void child_close_others(int keep)
{
	if (keep > STDERR_FILENO + 1)
		close_range(STDERR_FILENO + 1, (unsigned int)keep - 1, 0);
	close_range(keep > STDERR_FILENO ? (unsigned int)keep + 1 : STDERR_FILENO + 1, UINT_MAX, 0);
}
