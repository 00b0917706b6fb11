/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "calls.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "endpoint.h"

static void call_socket(struct run *run, const struct notice *notice)
{
	int type = (int)notice->args[1];
	int protocol = (int)notice->args[2];
	struct endpoint *endpoint;
	int theirs;
	int number;

	if (pvcalls_front_error(run->front) || (protocol != 0 && protocol != IPPROTO_TCP)) {
		notice_answer(&run->notices, notice->id,
			      pvcalls_front_error(run->front) ? -ENETDOWN : -EPROTONOSUPPORT);
		return;
	}
	endpoint = endpoint_new(run, type & SOCK_NONBLOCK, &theirs);
	if (!endpoint) {
		notice_answer(&run->notices, notice->id, errno == EMFILE ? -ENFILE : -errno);
		return;
	}
	number = notice_give_fd(&run->notices, notice->id, theirs, type & SOCK_CLOEXEC);
	close(theirs);
	if (number < 0) {
		endpoint_end(endpoint);
		notice_answer(&run->notices, notice->id, number);
		return;
	}
	endpoint->last_tid = notice->tid;
	endpoint->last_fd = number;
}

static void call_shutdown(struct run *run, struct endpoint *endpoint, const struct notice *notice,
			  int theirs)
{
	(void)theirs;
	if (endpoint->state == ENDPOINT_CONNECTED) {
		notice_continue(&run->notices, notice->id);
	} else if (endpoint->state == ENDPOINT_LISTENING) {
		if ((int)notice->args[1] != SHUT_WR)
			calls_stop_listening(endpoint, -EINVAL);
		notice_answer(&run->notices, notice->id, 0);
	} else {
		notice_answer(&run->notices, notice->id, -ENOTCONN);
	}
}

static const struct {
	int call;
	call_handler handler;
} handlers[] = {
	{SYS_connect, calls_connect},         {SYS_bind, calls_bind},
	{SYS_listen, calls_listen},           {SYS_accept, calls_accept},
	{SYS_accept4, calls_accept},          {SYS_getsockname, calls_getsockname},
	{SYS_getpeername, calls_getpeername}, {SYS_setsockopt, calls_setsockopt},
	{SYS_getsockopt, calls_getsockopt},   {SYS_shutdown, call_shutdown},
};

static call_handler handler_of(int call)
{
	size_t i;

	for (i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++)
		if (handlers[i].call == call)
			return handlers[i].handler;
	return NULL;
}

/* Whether the answer to this very call got lost, and was given now. */
static bool replayed(struct run *run, struct endpoint *endpoint, const struct notice *notice)
{
	if (endpoint->lost_call != notice->call)
		return false;
	endpoint->lost_call = -1;
	if (notice_answer(&run->notices, notice->id, endpoint->lost_result))
		endpoint->lost_call = notice->call;
	return true;
}

void calls_serve(struct run *run)
{
	struct endpoint *endpoint;
	struct notice notice;
	int theirs;

	if (notice_take(&run->notices, &notice))
		return;
	if (notice.call == SYS_socket) {
		call_socket(run, &notice);
		return;
	}
	endpoint = endpoint_find(run, &notice, &theirs);
	if (!endpoint) {
		notice_continue(&run->notices, notice.id);
		return;
	}
	if (!replayed(run, endpoint, &notice))
		handler_of(notice.call)(run, endpoint, &notice, theirs);
	close(theirs);
}

void calls_answer(struct endpoint *endpoint, const struct notice *notice, int result)
{
	if (notice_answer(&endpoint->run->notices, notice->id, result) == 0)
		return;
	endpoint->lost_call = notice->call;
	endpoint->lost_result = result;
}

int calls_read_address(const struct notice *notice, struct sockaddr_in *address)
{
	uint32_t length = (uint32_t)notice->args[2];
	int error;

	if (length < sizeof(sa_family_t) || length > 128)
		return -EINVAL;
	*address = (struct sockaddr_in){0};
	error = notice_read(notice, notice->args[1], address,
			    length < sizeof(*address) ? length : sizeof(*address));
	if (error)
		return error;
	if (address->sin_family != AF_INET)
		return -EAFNOSUPPORT;
	return length < sizeof(*address) ? -EINVAL : 0;
}

int calls_write_address(struct run *run, const struct notice *notice, int pointer,
			const struct sockaddr_in *address)
{
	const uint32_t full = sizeof(*address);
	uint32_t room;

	if (notice_read(notice, notice->args[pointer + 1], &room, sizeof(room)))
		return -EFAULT;
	if ((int32_t)room < 0)
		return -EINVAL;
	if (!notice_alive(&run->notices, notice->id))
		return -ENOENT;
	if (notice_write(notice, notice->args[pointer], address, room < full ? room : full))
		return -EFAULT;
	return notice_write(notice, notice->args[pointer + 1], &full, sizeof(full));
}

uint64_t calls_timeout(int fd, int option)
{
	struct timeval time = {0};
	socklen_t size = sizeof(time);

	if (getsockopt(fd, SOL_SOCKET, option, &time, &size) < 0)
		return 0;
	if (time.tv_sec == 0 && time.tv_usec == 0)
		return 0;
	return (uint64_t)time.tv_sec * 1000u + (uint64_t)time.tv_usec / 1000u + 1;
}

bool calls_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && flags & O_NONBLOCK;
}
