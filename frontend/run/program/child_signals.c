/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * COMMAND shares our process group, so what the terminal sends (Ctrl-C, window changes) it gets by
 * itself; only what is sent to us alone is passed on. We are the reaper of everything below us, so
 * that daemonised descendants can be found and ended with COMMAND.
 */
#include "run/program/child_signals.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/decimal.h"

static const int passed_on[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGUSR1, SIGUSR2};

int child_signals_open(void)
{
	sigset_t set;
	size_t i;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (i = 0; i < sizeof(passed_on) / sizeof(passed_on[0]); i++)
		sigaddset(&set, passed_on[i]);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return -errno;
	signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static void child_signals_reap(struct child_signals *child)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != child->command)
			continue;
		child->ended = true;
		child->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	}
}

void child_signals_event(struct event_source *source, uint32_t events)
{
	struct child_signals *child =
		(struct child_signals *)((char *)source - offsetof(struct child_signals, source));
	struct signalfd_siginfo info;

	(void)events;
	while (read(source->fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			child_signals_reap(child);
		else if (info.ssi_code <= 0 && !child->ended)
			kill(child->command, (int)info.ssi_signo);
	}
}

static bool child_signals_kill_children(void)
{
	char path[64];
	char *word = NULL;
	size_t room = 0;
	bool any = false;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	file = fopen(path, "re");
	if (!file)
		return false;
	while (getdelim(&word, &room, ' ', file) > 0) {
		const char *end;
		uint64_t pid;

		if (decimal_read_head(word, &end, INT32_MAX, &pid) || !pid)
			continue;
		any = true;
		kill((pid_t)pid, SIGKILL);
	}
	free(word);
	fclose(file);
	return any;
}

void child_signals_kill_rest(void)
{
	while (child_signals_kill_children())
		while (waitpid(-1, NULL, 0) > 0 && waitpid(-1, NULL, WNOHANG) > 0)
			;
}
