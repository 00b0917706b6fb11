/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/program/trap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/decimal.h"

/* Of Linux 6.6 and 6.9; older kernels refuse them, and we do without. */
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif
#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif
#define PIDFD_OF_THREAD O_EXCL

/* Room for a later kernel's longer structures. */
union trap_buffer {
	struct seccomp_notif notif;
	char room[512];
};

void trap_init(struct trap *trap, int fd)
{
	size_t i;

	trap->fd = fd;
	for (i = 0; i < TRAP_PROCESSES; i++)
		trap->process[i].fd = -1;
	/* Wake the waiting side on this CPU: it only ever waits for us. */
	if (ioctl(fd, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP) < 0)
		return;
}

void trap_close(struct trap *trap)
{
	size_t i;

	for (i = 0; i < TRAP_PROCESSES; i++)
		if (trap->process[i].fd >= 0)
			close(trap->process[i].fd);
}

int trap_take(struct trap *trap, struct trapped_call *call)
{
	union trap_buffer buffer = {.room = {0}};
	const struct seccomp_notif *notif = &buffer.notif;
	int i;

	if (ioctl(trap->fd, SECCOMP_IOCTL_NOTIF_RECV, &buffer) < 0)
		return -errno;
	*call = (struct trapped_call){
		.id = notif->id, .tid = (pid_t)notif->pid, .number = notif->data.nr};
	for (i = 0; i < 6; i++)
		call->args[i] = notif->data.args[i];
	return 0;
}

bool trap_alive(struct trap *trap, uint64_t id)
{
	return ioctl(trap->fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

static int trap_respond(struct trap *trap, uint64_t id, int64_t value, int error, uint32_t flags)
{
	struct seccomp_notif_resp response = {
		.id = id, .val = value, .error = error, .flags = flags};

	return ioctl(trap->fd, SECCOMP_IOCTL_NOTIF_SEND, &response) < 0 ? -errno : 0;
}

int trap_answer(struct trap *trap, uint64_t id, int64_t result)
{
	return trap_respond(trap, id, result < 0 ? 0 : result, result < 0 ? (int)result : 0, 0);
}

int trap_continue(struct trap *trap, uint64_t id)
{
	return trap_respond(trap, id, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
}

static int trap_add_fd(struct trap *trap, uint64_t id, int fd, uint32_t flags, int number,
		       bool close_on_exec)
{
	struct seccomp_notif_addfd add = {.id = id,
					  .flags = flags,
					  .srcfd = (uint32_t)fd,
					  .newfd = (uint32_t)number,
					  .newfd_flags = close_on_exec ? O_CLOEXEC : 0};
	int result = ioctl(trap->fd, SECCOMP_IOCTL_NOTIF_ADDFD, &add);

	return result < 0 ? -errno : result;
}

int trap_give_fd(struct trap *trap, uint64_t id, int fd, bool close_on_exec)
{
	return trap_add_fd(trap, id, fd, SECCOMP_ADDFD_FLAG_SEND, 0, close_on_exec);
}

int trap_replace_fd(struct trap *trap, uint64_t id, int fd, int number, bool close_on_exec)
{
	return trap_add_fd(trap, id, fd, SECCOMP_ADDFD_FLAG_SETFD, number, close_on_exec);
}

static pid_t trap_process_of(pid_t tid)
{
	char path[48];
	char line[128];
	FILE *file;
	const char *end;
	uint64_t process = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
	file = fopen(path, "re");
	if (!file)
		return -1;
	while (!process && fgets(line, sizeof(line), file))
		if (strncmp(line, "Tgid:\t", 6) == 0)
			(void)decimal_read_head(line + 6, &end, INT32_MAX, &process);
	fclose(file);
	return process ? (pid_t)process : -1;
}

/* Threads have had pidfds of their own only lately; before that, any of their process will do. */
static int trap_open_pidfd(pid_t tid)
{
	int fd = (int)syscall(SYS_pidfd_open, tid, 0);
	pid_t process;

	if (fd < 0)
		fd = (int)syscall(SYS_pidfd_open, tid, PIDFD_OF_THREAD);
	if (fd >= 0)
		return fd;
	process = trap_process_of(tid);
	return process > 0 ? (int)syscall(SYS_pidfd_open, process, 0) : -1;
}

int trap_take_fd(struct trap *trap, pid_t tid, int number)
{
	size_t place = (size_t)tid % TRAP_PROCESSES;
	bool fresh = false;
	int fd;

	for (;;) {
		if (trap->process[place].tid != tid || trap->process[place].fd < 0) {
			if (trap->process[place].fd >= 0)
				close(trap->process[place].fd);
			trap->process[place].tid = tid;
			trap->process[place].fd = trap_open_pidfd(tid);
			fresh = true;
		}
		fd = (int)syscall(SYS_pidfd_getfd, trap->process[place].fd, number, 0);
		if (fd >= 0 || fresh || errno == EBADF)
			return fd < 0 ? -errno : fd;
		/* The number may belong to another process by now. */
		close(trap->process[place].fd);
		trap->process[place].fd = -1;
	}
}

bool trap_close_on_exec(const struct trapped_call *call, int number)
{
	char path[64];
	char line[128];
	bool result = false;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", (int)call->tid, number);
	file = fopen(path, "re");
	if (!file)
		return false;
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, "flags:", 6) == 0)
			result = strtoul(line + 6, NULL, 8) & O_CLOEXEC;
	fclose(file);
	return result;
}

int trap_read(const struct trapped_call *call, uint64_t address, void *bytes, size_t size)
{
	struct iovec here = {.iov_base = bytes, .iov_len = size};
	struct iovec there = {.iov_base = (void *)(uintptr_t)address, .iov_len = size};

	return process_vm_readv(call->tid, &here, 1, &there, 1, 0) == (ssize_t)size ? 0 : -EFAULT;
}

int trap_write(const struct trapped_call *call, uint64_t address, const void *bytes, size_t size)
{
	char copy[256];
	struct iovec here = {.iov_base = copy, .iov_len = size};
	struct iovec there = {.iov_base = (void *)(uintptr_t)address, .iov_len = size};

	if (size > sizeof(copy))
		return -EFAULT;
	if (size == 0)
		return 0;
	memcpy(copy, bytes, size);
	return process_vm_writev(call->tid, &here, 1, &there, 1, 0) == (ssize_t)size ? 0 : -EFAULT;
}
