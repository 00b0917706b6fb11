/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation. When one end of a pair is closed with bytes unread, the holder of the other
 * reads what there is for it and then ECONNRESET, as of a TCP socket that was reset. So there is a
 * byte of ours in our end whenever it is closed for a reset: put there through a duplicate of the
 * program's end, behind all that the program wrote. It can't be put there any more once that
 * direction has ended, so it is set before that, whatever may come; if the peer then ends in order,
 * it is taken out again.
 *
 * What a thread of the program writes while another ends the direction may lie behind the mark. The
 * kernel never joins bytes of two senders that are asked for by credentials, and those tell the
 * mark from any byte of the program.
 */
#include "run/endpoints/reset_mark.h"

#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

void reset_mark_set(struct endpoint *endpoint, int theirs)
{
	const int yes = 1;

	if (endpoint->marked || endpoint->source.fd < 0)
		return;
	(void)setsockopt(endpoint->source.fd, SOL_SOCKET, SO_PASSCRED, &yes, sizeof(yes));
	endpoint->marked = send(theirs, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1;
}

/* Whether the next byte is one of ours. */
static bool reset_mark_is_next(int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr align;
	} control;
	char byte;
	struct iovec part = {.iov_base = &byte, .iov_len = 1};
	struct msghdr header = {.msg_iov = &part,
				.msg_iovlen = 1,
				.msg_control = control.bytes,
				.msg_controllen = sizeof(control.bytes)};
	const struct cmsghdr *first;
	struct ucred sender;

	if (recvmsg(fd, &header, MSG_PEEK | MSG_DONTWAIT) != 1)
		return false;
	first = CMSG_FIRSTHDR(&header);
	if (!first || first->cmsg_type != SCM_CREDENTIALS)
		return false;
	memcpy(&sender, CMSG_DATA(first), sizeof(sender));
	return sender.pid == getpid();
}

bool reset_mark_reached(struct endpoint *endpoint)
{
	int fd = endpoint->source.fd;
	int bytes = 0;
	char mark;

	if (!endpoint->marked || !reset_mark_is_next(fd))
		return false;
	if (ioctl(fd, SIOCINQ, &bytes) == 0 && bytes == 1)
		return true;
	(void)recv(fd, &mark, 1, MSG_DONTWAIT);
	endpoint->marked = false;
	return false;
}

void reset_mark_clear(const struct endpoint *endpoint)
{
	char bytes[65536];

	while (endpoint->source.fd >= 0 &&
	       recv(endpoint->source.fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}
