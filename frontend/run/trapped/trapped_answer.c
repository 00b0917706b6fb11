/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/trapped/trapped_answer.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/assert.h"
#include "run/endpoints/endpoint_table.h"

void trapped_answer(struct endpoint *endpoint, const struct trapped_call *call, int result)
{
	if (trap_answer(&endpoint->table->trap, call->id, result) == 0)
		return;
	endpoint->lost_call = call->number;
	endpoint->lost_result = result;
}

int trapped_answer_read_address(const struct trapped_call *call, struct sockaddr_in *address)
{
	uint32_t length = (uint32_t)call->args[2];
	int error;

	if (length < sizeof(sa_family_t) || length > 128)
		return -EINVAL;
	*address = (struct sockaddr_in){0};
	error = trap_read(call, call->args[1], address,
			  length < sizeof(*address) ? length : sizeof(*address));
	if (error)
		return error;
	if (address->sin_family != AF_INET)
		return -EAFNOSUPPORT;
	return length < sizeof(*address) ? -EINVAL : 0;
}

int trapped_answer_write_address(struct trap *trap, const struct trapped_call *call, int pointer,
				 const struct sockaddr_in *address)
{
	const uint32_t full = sizeof(*address);
	uint32_t room;

	if (trap_read(call, call->args[pointer + 1], &room, sizeof(room)))
		return -EFAULT;
	if ((int32_t)room < 0)
		return -EINVAL;
	if (!trap_alive(trap, call->id))
		return -ENOENT;
	if (trap_write(call, call->args[pointer], address, room < full ? room : full))
		return -EFAULT;
	return trap_write(call, call->args[pointer + 1], &full, sizeof(full));
}

/* What the kernel keeps of an end, its next one has as well. */
static void trapped_answer_copy_timeouts(int from, int to)
{
	static const int options[] = {SO_RCVTIMEO, SO_SNDTIMEO};
	size_t i;

	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		struct timeval time;
		socklen_t size = sizeof(time);

		if (getsockopt(from, SOL_SOCKET, options[i], &time, &size) == 0)
			(void)setsockopt(to, SOL_SOCKET, options[i], &time, size);
	}
}

int trapped_answer_renew(struct endpoint *endpoint, const struct trapped_call *call, int theirs,
			 int *fresh)
{
	int number = (int)call->args[0];
	int error;

	ASSERT(endpoint->state == ENDPOINT_FAILED);
	error = endpoint_renew(endpoint, trapped_answer_nonblocking(theirs), fresh);
	if (error)
		return error;
	endpoint->state = ENDPOINT_NEW;
	trapped_answer_copy_timeouts(theirs, *fresh);
	error = trap_replace_fd(&endpoint->table->trap, call->id, *fresh, number,
				trap_close_on_exec(call, number));
	if (error >= 0)
		return 0;
	close(*fresh);
	return error;
}

uint64_t trapped_answer_timeout(int fd, int option)
{
	struct timeval time = {0};
	socklen_t size = sizeof(time);

	if (getsockopt(fd, SOL_SOCKET, option, &time, &size) < 0)
		return 0;
	if (time.tv_sec == 0 && time.tv_usec == 0)
		return 0;
	return (uint64_t)time.tv_sec * 1000u + (uint64_t)time.tv_usec / 1000u + 1;
}

bool trapped_answer_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && flags & O_NONBLOCK;
}
