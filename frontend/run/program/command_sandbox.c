/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation. The child makes its namespaces and waits while we, who may, map its user ids
 * (each to itself: all of them if we are root, else our own). Then it brings up its loopback
 * device, installs the filter, hands us the notification descriptor and executes COMMAND. What it
 * could not do it says through a pipe that execution closes.
 */
#include "run/program/command_sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run/program/call_filter.h"

/* What child and parent say over their socket pair: one byte each, in this order. */
enum { STEP_NAMESPACES = 1, STEP_MAPPED, STEP_LOOPBACK, STEP_FILTER };

struct command_sandbox_report {
	int step;
	int error;
};

static const char *const step_names[] = {
	[0] = "the sandbox",
	[STEP_NAMESPACES] = "new user and network namespaces (are user namespaces enabled?)",
	[STEP_MAPPED] = "the user id map",
	[STEP_LOOPBACK] = "the loopback device",
	[STEP_FILTER] = "the seccomp filter (another one with notifications may be in force)",
};

/* 127.0.0.2 is there because resolvers take 127.0.0.1 alone for "no IPv4 here". */
static int command_sandbox_raise_loopback(void)
{
	struct ifreq request = {.ifr_name = "lo"};
	const uint8_t address[8] = {AF_INET, 0, 0, 0, 127, 0, 0, 2};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int error = 0;

	if (fd < 0)
		return -errno;
	request.ifr_flags = IFF_UP | IFF_RUNNING | IFF_LOOPBACK;
	if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		error = -errno;
	memcpy(request.ifr_name, "lo:1", sizeof("lo:1"));
	memset(&request.ifr_addr, 0, sizeof(request.ifr_addr));
	memcpy(&request.ifr_addr, address, sizeof(address));
	if (!error && ioctl(fd, SIOCSIFADDR, &request) < 0)
		error = 0; /* names still resolve for most programs */
	close(fd);
	return error;
}

static int command_sandbox_send_fd(int socket, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	char byte = STEP_FILTER;
	struct iovec part = {.iov_base = &byte, .iov_len = 1};
	struct msghdr header = {.msg_iov = &part,
				.msg_iovlen = 1,
				.msg_control = control.bytes,
				.msg_controllen = sizeof(control.bytes)};

	control.align = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
					 .cmsg_level = SOL_SOCKET,
					 .cmsg_type = SCM_RIGHTS};
	memcpy(CMSG_DATA(CMSG_FIRSTHDR(&header)), &fd, sizeof(fd));
	return sendmsg(socket, &header, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

static int command_sandbox_receive_fd(int socket, int *fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	char byte;
	struct iovec part = {.iov_base = &byte, .iov_len = 1};
	struct msghdr header = {.msg_iov = &part,
				.msg_iovlen = 1,
				.msg_control = control.bytes,
				.msg_controllen = sizeof(control.bytes)};
	const struct cmsghdr *first;

	if (recvmsg(socket, &header, MSG_CMSG_CLOEXEC) != 1)
		return -EPIPE;
	first = CMSG_FIRSTHDR(&header);
	if (!first || first->cmsg_type != SCM_RIGHTS)
		return -EPIPE;
	memcpy(fd, CMSG_DATA(first), sizeof(*fd));
	return 0;
}

static int command_sandbox_say(int socket, char step)
{
	return send(socket, &step, 1, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

static int command_sandbox_hear(int socket)
{
	char step;

	return recv(socket, &step, 1, 0) == 1 ? 0 : -EPIPE;
}

/* Everything of the child before exec; returns 0 or fills *report. */
static int command_sandbox_enter(int socket, struct command_sandbox_report *report)
{
	int fd;

	report->step = STEP_NAMESPACES;
	report->error = unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0 ? -errno : 0;
	if (!report->error)
		report->error = command_sandbox_say(socket, STEP_NAMESPACES);
	if (report->error)
		return report->error;
	report->step = STEP_MAPPED;
	report->error = command_sandbox_hear(socket);
	if (report->error)
		return report->error;
	/* New ids would have cleared it, so only now: COMMAND does not outlive us. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	report->step = STEP_LOOPBACK;
	report->error = command_sandbox_raise_loopback();
	if (report->error)
		return report->error;
	report->step = STEP_FILTER;
	fd = call_filter_install();
	report->error = fd < 0 ? fd : command_sandbox_send_fd(socket, fd);
	close(fd);
	return report->error;
}

static void command_sandbox_add_resolver_option(void)
{
	const char *old = getenv("RES_OPTIONS");
	char options[512];

	if (old && strstr(old, "use-vc"))
		return;
	snprintf(options, sizeof(options), "%s%suse-vc", old ? old : "", old && *old ? " " : "");
	setenv("RES_OPTIONS", options, 1);
}

_Noreturn static void command_sandbox_child(int socket, int status_fd, char **command)
{
	struct command_sandbox_report report = {0};
	sigset_t none;

	if (command_sandbox_enter(socket, &report) == 0) {
		close(socket);
		command_sandbox_add_resolver_option();
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		signal(SIGPIPE, SIG_DFL);
		execvp(command[0], command);
		report = (struct command_sandbox_report){.error = -errno};
	}
	if (write(status_fd, &report, sizeof(report)) < 0)
		_exit(125);
	_exit(125);
}

static int command_sandbox_write_file(pid_t pid, const char *name, const char *text)
{
	char path[64];
	int fd;
	int error;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	error = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return error;
}

/* Maps each id to itself: all ids where we may, else our own. */
static int command_sandbox_map_ids(pid_t pid)
{
	static const char all[] = "0 0 4294967295\n";
	char own[64];
	int error = 0;

	if (command_sandbox_write_file(pid, "uid_map", all)) {
		snprintf(own, sizeof(own), "%u %u 1\n", (unsigned)geteuid(), (unsigned)geteuid());
		error = command_sandbox_write_file(pid, "uid_map", own);
	}
	if (!error && command_sandbox_write_file(pid, "gid_map", all)) {
		snprintf(own, sizeof(own), "%u %u 1\n", (unsigned)getegid(), (unsigned)getegid());
		error = command_sandbox_write_file(pid, "setgroups", "deny");
		if (!error)
			error = command_sandbox_write_file(pid, "gid_map", own);
	}
	return error;
}

/* Our side of command_sandbox_enter(). -EPIPE: the child has reported what failed. */
static int command_sandbox_accompany(struct command_sandbox *sandbox, int socket, const char **step)
{
	int error = command_sandbox_hear(socket);

	if (!error) {
		error = command_sandbox_map_ids(sandbox->pid);
		if (error) {
			*step = step_names[STEP_MAPPED];
			return error;
		}
		error = command_sandbox_say(socket, STEP_MAPPED);
	}
	if (!error)
		error = command_sandbox_receive_fd(socket, &sandbox->notify_fd);
	return error;
}

int command_sandbox_start(struct command_sandbox *sandbox, char **command, const char **step)
{
	struct command_sandbox_report report = {.error = -EPIPE};
	int sockets[2];
	int status[2];
	int error;

	*step = step_names[0];
	*sandbox = (struct command_sandbox){.notify_fd = -1, .status_fd = -1};
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
		return -errno;
	if (pipe2(status, O_CLOEXEC) < 0) {
		error = -errno;
		goto out;
	}
	sandbox->pid = fork();
	if (sandbox->pid == 0)
		command_sandbox_child(sockets[1], status[1], command);
	error = sandbox->pid < 0 ? -errno : 0;
	close(status[1]);
	close(sockets[1]);
	sockets[1] = -1;
	sandbox->status_fd = status[0];
	if (!error)
		error = command_sandbox_accompany(sandbox, sockets[0], step);
	if (error == -EPIPE && read(status[0], &report, sizeof(report)) == sizeof(report)) {
		*step = step_names[report.step];
		error = report.error;
	}
out:
	close(sockets[0]);
	if (sockets[1] >= 0)
		close(sockets[1]);
	if (error && sandbox->pid > 0) {
		kill(sandbox->pid, SIGKILL);
		waitpid(sandbox->pid, NULL, 0);
	}
	return error;
}

int command_sandbox_exec_error(const struct command_sandbox *sandbox)
{
	struct command_sandbox_report report;

	if (read(sandbox->status_fd, &report, sizeof(report)) != sizeof(report))
		return 0;
	return -report.error;
}
