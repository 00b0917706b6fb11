/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/guests/recovery_logs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/fd.h"
#include "ipc/recovery_log.h"

static int recovery_logs_path(char path[PATH_MAX], const char *runtime_dir, uint32_t domid)
{
	int length = snprintf(path, PATH_MAX, "%s/%u.recovery", runtime_dir, domid);

	return length < 0 || length >= PATH_MAX ? -ENAMETOOLONG : 0;
}

int recovery_logs_open(const char *runtime_dir, uint32_t domid, uint32_t sockets, bool fresh)
{
	char path[PATH_MAX];
	int error = recovery_logs_path(path, runtime_dir, domid);
	int fd;

	if (error)
		return error;
	fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 || (fresh && ftruncate(fd, 0) < 0) ||
	    ftruncate(fd, (off_t)recovery_log_bytes(sockets)) < 0) {
		error = -errno;
		close(fd);
		return error;
	}
	return fd;
}

void recovery_logs_remove(const char *runtime_dir, uint32_t domid)
{
	char path[PATH_MAX];

	if (recovery_logs_path(path, runtime_dir, domid) == 0)
		unlink(path);
}
