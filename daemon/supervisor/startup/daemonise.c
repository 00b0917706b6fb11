/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/startup/daemonise.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "supervisor/settings/exit_status.h"

static void daemonise_wait_for_child(int descriptor)
{
	unsigned char status = STATUS_ENVIRONMENT; /* what an untold end means */
	ssize_t got;

	do
		got = read(descriptor, &status, 1);
	while (got < 0 && errno == EINTR);
	_exit(status);
}

int daemonise_begin(void)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid < 0) {
		int error = -errno;

		close(ends[0]);
		close(ends[1]);
		return error;
	}
	if (pid > 0) {
		close(ends[1]);
		daemonise_wait_for_child(ends[0]);
	}
	close(ends[0]);
	setsid();
	return ends[1];
}

void daemonise_tell(int *descriptor, int status)
{
	unsigned char byte = (unsigned char)status;

	if (*descriptor < 0)
		return;
	/* If the parent is gone, nobody wants to know. */
	if (write(*descriptor, &byte, 1) < 0)
		errno = 0;
	fd_close(descriptor);
}

void daemonise_detach(int log_fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		close(null);
	}
	if (log_fd >= 0)
		dup2(log_fd, STDERR_FILENO);
	if (chdir("/") < 0)
		errno = 0; /* the worst is that a file system cannot be unmounted */
}
