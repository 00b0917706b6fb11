/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/fd.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

void fd_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

union rights {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(FDS_PER_MESSAGE * sizeof(int))];
};

int fd_send(int socket, const void *data, size_t size, const int *fds, size_t count)
{
	/* sendmsg() does not write through iov_base; the struct has no const version. */
	struct iovec vector = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
	union rights rights;

	if (count > FDS_PER_MESSAGE)
		return -E2BIG;
	if (count) {
		memset(&rights, 0, sizeof(rights));
		message.msg_control = rights.bytes;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		rights.header.cmsg_level = SOL_SOCKET;
		rights.header.cmsg_type = SCM_RIGHTS;
		rights.header.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&rights.header), fds, count * sizeof(int));
	}
	if (sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return -errno;
	return 0;
}

static size_t fd_take_rights(struct msghdr *message, int fds[FDS_PER_MESSAGE])
{
	struct cmsghdr *header = CMSG_FIRSTHDR(message);
	size_t count;

	if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
		return 0;
	count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(fds, CMSG_DATA(header), count * sizeof(int));
	return count;
}

ssize_t fd_receive(int socket, void *data, size_t size, int fds[FDS_PER_MESSAGE], size_t *count)
{
	struct iovec vector = {.iov_base = data, .iov_len = size};
	union rights rights;
	struct msghdr message = {.msg_iov = &vector,
				 .msg_iovlen = 1,
				 .msg_control = rights.bytes,
				 .msg_controllen = sizeof(rights.bytes)};
	ssize_t received;
	size_t i;

	for (i = 0; i < FDS_PER_MESSAGE; i++)
		fds[i] = -1;
	*count = 0;
	received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (received < 0)
		return -errno;
	*count = fd_take_rights(&message, fds);
	if (!(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return received;
	for (i = 0; i < *count; i++)
		fd_close(&fds[i]);
	*count = 0;
	return -EMSGSIZE;
}
