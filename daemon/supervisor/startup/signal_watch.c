/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/startup/signal_watch.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/fd.h"

static void signal_watch_readable(struct loop_source *source, uint32_t events)
{
	struct signal_watch *watch = source->owner;
	struct signalfd_siginfo info;

	(void)events;
	if (read(watch->fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP)
		watch->calls.reload(watch->calls.owner);
	else
		watch->calls.stop(watch->calls.owner, (int)info.ssi_signo);
}

int signal_watch_open(struct signal_watch *watch, struct loop *loop,
		      const struct signal_watch_calls *calls)
{
	sigset_t set;
	int error;

	ASSERT(!watch->loop);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return -errno;
	watch->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (watch->fd < 0)
		return -errno;
	error = loop_add(loop, &watch->source, watch->fd, EPOLLIN, signal_watch_readable, watch);
	if (error) {
		fd_close(&watch->fd);
		return error;
	}
	watch->loop = loop;
	watch->calls = *calls;
	return 0;
}

void signal_watch_close(struct signal_watch *watch)
{
	if (!watch->loop)
		return;
	loop_remove(watch->loop, &watch->source);
	fd_close(&watch->fd);
	watch->loop = NULL;
}
