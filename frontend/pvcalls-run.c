/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pvcalls-run: runs a program as a guest. See pvcalls-run(1). */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "run/program/child_signals.h"
#include "run/program/command_sandbox.h"
#include "run/run_loop.h"
#include "run/run_options.h"

#define CLOSE_MS 3000u

/* Every connection is a descriptor of ours. */
static void run_raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit); /* then as many as there may be */
}

/* From COMMAND's start to its end, and to that of what it wrote. Returns the status to exit with.
 */
static int run_serve(struct run_loop *loop, struct command_sandbox *sandbox, int signal_fd,
		     const char *command)
{
	int error;

	trap_init(&loop->table.trap, sandbox->notify_fd);
	error = run_loop_watch(loop, sandbox->notify_fd, signal_fd);
	if (error) {
		fprintf(stderr, "pvcalls-run: descriptors can't be watched: %s\n",
			strerror(-error));
		return RUN_UNREACHABLE;
	}
	loop->child.command = sandbox->pid;
	run_loop_serve(loop);
	child_signals_kill_rest();
	run_loop_flush(loop);
	error = command_sandbox_exec_error(sandbox);
	if (!error)
		return loop->child.status;
	fprintf(stderr, "pvcalls-run: %s can't be run: %s\n", command, strerror(error));
	return error == ENOENT ? RUN_NOT_FOUND : RUN_NOT_STARTED;
}

/* The status to exit with when the frontend can't be opened. */
static int run_open_status(int error)
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

static int run_command(struct run_loop *loop, const struct run_options *options, int signal_fd)
{
	struct pvcalls_front_options wanted = {.size = sizeof(wanted),
					       .runtime_dir = options->runtime_dir,
					       .name = options->name,
					       .transport = options->transport};
	char why[PVCALLS_FRONT_WHY_MAX] = "";
	struct endpoint_table *table = &loop->table;
	struct command_sandbox sandbox;
	const char *step;
	int error = pvcalls_front_open(&table->front, &wanted, why);
	int status;

	if (error) {
		fprintf(stderr, "pvcalls-run: %s\n", why);
		return run_open_status(error);
	}
	error = command_sandbox_start(&sandbox, options->command, &step);
	if (error) {
		fprintf(stderr, "pvcalls-run: %s: %s\n", step, strerror(-error));
		pvcalls_front_close(table->front, CLOSE_MS);
		return RUN_UNREACHABLE;
	}
	run_raise_descriptor_limit();
	status = run_serve(loop, &sandbox, signal_fd, options->command[0]);
	endpoint_end_all(table);
	pvcalls_front_close(table->front, CLOSE_MS);
	trap_close(&table->trap);
	close(sandbox.notify_fd);
	close(sandbox.status_fd);
	return status;
}

int main(int argc, char **argv)
{
	struct run_options options;
	struct run_loop *loop;
	int status = run_options_parse(&options, argc, argv);
	int signal_fd;

	if (status)
		return status < 0 ? 0 : status;
	signal_fd = child_signals_open();
	loop = signal_fd < 0 ? NULL : calloc(1, sizeof(*loop));
	if (!loop) {
		fprintf(stderr, "pvcalls-run: no memory or descriptors: %s\n", strerror(errno));
		return RUN_UNREACHABLE;
	}
	loop->table.order = options.order;
	loop->table.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	status = run_command(loop, &options, signal_fd);
	close(loop->table.epoll_fd);
	close(signal_fd);
	free(loop);
	return status;
}
