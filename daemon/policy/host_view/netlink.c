/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/host_view/netlink.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/fd.h"

int netlink_open(int protocol, uint32_t groups)
{
	struct sockaddr_nl self = {.nl_family = AF_NETLINK, .nl_groups = groups};
	const struct timeval patience = {.tv_sec = 1};
	const int on = 1;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	int result;

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&self, sizeof(self)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience))) {
		result = -errno;
		fd_close(&fd);
		return result;
	}
	/* Lets the kernel filter dumps; one that can not sends more, which is sorted out here. */
	if (protocol == NETLINK_ROUTE)
		(void)setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	return fd;
}

/* Receives one datagram of the kernel's. Returns its bytes, or -errno. */
static ssize_t netlink_receive(int fd, void *buffer, size_t size, int flags)
{
	struct sockaddr_nl from = {0};
	socklen_t length = sizeof(from);
	ssize_t got;

	do {
		length = sizeof(from);
		got = recvfrom(fd, buffer, size, flags | MSG_TRUNC, (struct sockaddr *)&from,
			       &length);
		if (got < 0 && errno != EINTR)
			return -errno;
	} while (got < 0 || length != sizeof(from) || from.nl_pid != 0);
	return (size_t)got > size ? -ENOBUFS : got;
}

static int netlink_error(const struct nlmsghdr *message)
{
	const struct nlmsgerr *error = NLMSG_DATA(message);

	if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*error)))
		return -EBADMSG;
	return error->error ? error->error : -EBADMSG;
}

/* One datagram of a dump's answer; *done when it was the last. */
static int netlink_read_answer(const void *buffer, size_t size, const struct nlmsghdr *request,
			       netlink_fn step, void *context, bool *done, bool *torn)
{
	const struct nlmsghdr *message = buffer;
	int result = 0;

	for (; NLMSG_OK(message, size) && !result && !*done; message = NLMSG_NEXT(message, size)) {
		if (message->nlmsg_seq != request->nlmsg_seq)
			continue; /* the rest of a dump that was given up */
		if (message->nlmsg_flags & NLM_F_DUMP_INTR)
			*torn = true;
		if (message->nlmsg_type == NLMSG_DONE)
			*done = true;
		else if (message->nlmsg_type == NLMSG_ERROR)
			result = netlink_error(message);
		else
			result = step(context, message);
	}
	return result;
}

int netlink_dump(int fd, struct nlmsghdr *request, netlink_fn step, void *context)
{
	_Alignas(struct nlmsghdr) unsigned char buffer[NETLINK_BUFFER];
	bool done = false;
	bool torn = false;
	ssize_t got;
	int result = 0;

	ASSERT(request->nlmsg_flags & NLM_F_DUMP);
	request->nlmsg_seq++;
	if (send(fd, request, request->nlmsg_len, 0) < 0)
		return -errno;
	while (!done && !result) {
		got = netlink_receive(fd, buffer, sizeof(buffer), 0);
		if (got <= 0)
			return got ? (int)got : -EBADMSG;
		result = netlink_read_answer(buffer, (size_t)got, request, step, context, &done,
					     &torn);
	}
	return result ? result : torn ? -EAGAIN : 0;
}

int netlink_drain(int fd, netlink_fn step, void *context)
{
	_Alignas(struct nlmsghdr) unsigned char buffer[NETLINK_BUFFER];
	const struct nlmsghdr *message;
	ssize_t got;
	size_t size;
	int result = 0;

	while (!result) {
		got = netlink_receive(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
		if (got == -EAGAIN)
			return 0;
		if (got <= 0)
			return got ? (int)got : -EBADMSG;
		size = (size_t)got;
		for (message = (const void *)buffer; NLMSG_OK(message, size) && !result;
		     message = NLMSG_NEXT(message, size))
			result = step(context, message);
	}
	return result;
}
