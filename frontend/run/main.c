/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pvcalls-run: runs a program as a guest. See pvcalls-run(1). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "calls.h"
#include "endpoint.h"
#include "options.h"
#include "pump.h"
#include "sandbox.h"
#include "signals.h"

#define FLUSH_MS        10000u /* longest without progress while what was written goes out */
#define CLOSE_MS        3000u
#define HUNGRY_SLEEP_MS 50 /* longest sleep while a listener waits for pages */

static void front_event(struct source *source, uint32_t events)
{
	struct run *run = (struct run *)((char *)source - offsetof(struct run, front_source));

	(void)events; /* the turn dispatches */
	run->front_event = true;
}

/*
 * Events of the local transport are looked at in every turn, which costs nothing and keeps the
 * daemon from ringing. Those of Xen are a system call away.
 */
static void dispatch(struct run *run)
{
	if (run->front_event || pvcalls_front_pending(run->front) ||
	    pvcalls_front_transport(run->front) != PVCALLS_FRONT_XEN)
		pvcalls_front_dispatch(run->front);
	run->front_event = false;
}

static void notice_event(struct source *source, uint32_t events)
{
	struct run *run = (struct run *)((char *)source - offsetof(struct run, notice_source));

	if (events & EPOLLIN)
		calls_serve(run);
	else
		epoll_ctl(run->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL); /* no process is left */
}

static int wait_time(struct run *run, bool busy, int longest)
{
	int deadline;

	if (busy || !pvcalls_front_may_sleep(run->front))
		return 0;
	if (run->hungry_ms && (longest < 0 || longest > HUNGRY_SLEEP_MS))
		longest = HUNGRY_SLEEP_MS;
	deadline = endpoint_next_deadline(run);
	if (deadline < 0 || (longest >= 0 && longest < deadline))
		return longest;
	return deadline;
}

/* One turn of everything; sleeps up to longest ms (-1: no limit) if there is nothing to do. */
static void turn(struct run *run, int longest)
{
	bool busy = pump_turn(run);

	pvcalls_front_uncork(run->front);
	loop_once(run->epoll_fd, wait_time(run, busy, longest));
	pvcalls_front_cork(run->front);
	dispatch(run);
	if (run->deadlines > 0)
		endpoint_expire(run);
	if (run->hungry_ms && loop_now_ms() >= run->hungry_ms)
		calls_feed(run);
	endpoint_bury(run);
}

/* COMMAND has ended: what it wrote still goes out, as long as that makes progress. */
static void flush(struct run *run)
{
	uint64_t deadline = loop_now_ms() + FLUSH_MS;
	uint32_t left = UINT32_MAX;

	while (!pvcalls_front_error(run->front) && loop_now_ms() < deadline) {
		uint32_t now = run->streams + pvcalls_front_releasing(run->front);

		if (now == 0 && !run->pump_first)
			break;
		if (now < left)
			deadline = loop_now_ms() + FLUSH_MS;
		left = now;
		turn(run, 100);
	}
	pvcalls_front_uncork(run->front);
}

static int watch(struct run *run, int notify_fd, int signal_fd)
{
	int error = loop_watch(run->epoll_fd, &run->front_source, pvcalls_front_fd(run->front),
			       EPOLLIN, front_event);

	if (!error)
		error = loop_watch(run->epoll_fd, &run->notice_source, notify_fd, EPOLLIN,
				   notice_event);
	if (!error)
		error = loop_watch(run->epoll_fd, &run->signal_source, signal_fd, EPOLLIN,
				   signals_event);
	return error;
}

/* Every connection is a descriptor of ours. */
static void raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit); /* then as many as there may be */
}

static int serve(struct run *run, struct sandbox *sandbox, int signal_fd, const char *command)
{
	int error;

	notices_init(&run->notices, sandbox->notify_fd);
	error = watch(run, sandbox->notify_fd, signal_fd);
	if (error) {
		fprintf(stderr, "pvcalls-run: descriptors can't be watched: %s\n",
			strerror(-error));
		return RUN_UNREACHABLE;
	}
	run->command = sandbox->pid;
	pvcalls_front_cork(run->front);
	while (!run->ended)
		turn(run, -1);
	signals_kill_rest();
	flush(run);
	error = sandbox_exec_error(sandbox);
	if (!error)
		return run->status;
	fprintf(stderr, "pvcalls-run: %s can't be run: %s\n", command, strerror(error));
	return error == ENOENT ? RUN_NOT_FOUND : RUN_NOT_STARTED;
}

static int open_status(int error)
{
	switch (-error) {
	case EPERM:
	case EACCES:
	case EEXIST:
	case EBUSY:
		return RUN_FORBIDDEN;
	default:
		return RUN_UNREACHABLE;
	}
}

static int run_command(struct run *run, const struct run_options *options, int signal_fd)
{
	struct pvcalls_front_options front = {.size = sizeof(front),
					      .runtime_dir = options->runtime_dir,
					      .name = options->name,
					      .transport = options->transport};
	char why[PVCALLS_FRONT_WHY_MAX] = "";
	struct sandbox sandbox;
	const char *step;
	int error = pvcalls_front_open(&run->front, &front, why);
	int status;

	if (error) {
		fprintf(stderr, "pvcalls-run: %s\n", why);
		return open_status(error);
	}
	error = sandbox_start(&sandbox, options->command, &step);
	if (error) {
		fprintf(stderr, "pvcalls-run: %s: %s\n", step, strerror(-error));
		pvcalls_front_close(run->front, CLOSE_MS);
		return RUN_UNREACHABLE;
	}
	raise_limit();
	status = serve(run, &sandbox, signal_fd, options->command[0]);
	endpoint_end_all(run);
	pvcalls_front_close(run->front, CLOSE_MS);
	notices_close(&run->notices);
	close(sandbox.notify_fd);
	close(sandbox.status_fd);
	return status;
}

int main(int argc, char **argv)
{
	struct run_options options;
	struct run *run;
	int status = run_options_parse(&options, argc, argv);
	int signal_fd;

	if (status)
		return status < 0 ? 0 : status;
	signal_fd = signals_open();
	run = signal_fd < 0 ? NULL : calloc(1, sizeof(*run));
	if (!run) {
		fprintf(stderr, "pvcalls-run: no memory or descriptors: %s\n", strerror(errno));
		return RUN_UNREACHABLE;
	}
	run->order = options.order;
	run->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	status = run_command(run, &options, signal_fd);
	close(run->epoll_fd);
	close(signal_fd);
	free(run);
	return status;
}
