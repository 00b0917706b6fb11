/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which system calls stop and wait for us.
 *
 * Theory of operation. Only calls that make, name or configure sockets are caught, none that moves
 * bytes. The filter is no security boundary: the boundary is the empty network namespace, in which
 * a call that gets past us reaches nothing. So calls of other architectures (32-bit programs) are
 * let through to find no network, and a socket that is not ours is handed back to the kernel.
 *
 * WAIT_KILLABLE_RECV is not used on purpose: with it a program that waits in accept() or connect()
 * could not be woken by a signal handler's EINTR. A caught call that is interrupted is restarted by
 * the kernel and arrives again, and every handler here can be asked twice.
 */
#include "run/program/call_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TYPE_MASK 0xfu /* of socket()'s second argument: without SOCK_NONBLOCK and SOCK_CLOEXEC */

static const int caught[] = {
	SCMP_SYS(connect), SCMP_SYS(bind),        SCMP_SYS(listen),      SCMP_SYS(accept),
	SCMP_SYS(accept4), SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(shutdown),
};

/* An argument of a system call: its low 32 bits under mask. */
struct argument_match {
	unsigned argument;
	uint32_t mask;
	uint32_t value;
};

/* Flags that socket pairs understand otherwise than TCP: which argument holds them. */
static const struct {
	int call;
	unsigned argument;
} flagged[] = {
	{SCMP_SYS(sendto), 3},   {SCMP_SYS(sendmsg), 2}, {SCMP_SYS(sendmmsg), 3},
	{SCMP_SYS(recvfrom), 3}, {SCMP_SYS(recvmsg), 2}, {SCMP_SYS(recvmmsg), 3},
};

/* Levels of get- and setsockopt that a TCP socket has. */
static const uint32_t levels[] = {SOL_SOCKET, IPPROTO_IP, IPPROTO_TCP, IPPROTO_IPV6};

/* Adds a rule for calls whose 32-bit arguments, under the masks, have these values. */
static int call_filter_add(scmp_filter_ctx filter, uint32_t action, int call, unsigned count,
			   const struct argument_match matches[])
{
	struct scmp_arg_cmp compare[2];
	unsigned i;

	for (i = 0; i < count; i++)
		compare[i] = (struct scmp_arg_cmp){.arg = matches[i].argument,
						   .op = SCMP_CMP_MASKED_EQ,
						   .datum_a = matches[i].mask,
						   .datum_b = matches[i].value};
	return seccomp_rule_add_array(filter, action, call, count, compare);
}

static int call_filter_add_socket(scmp_filter_ctx filter)
{
	const struct argument_match ipv4[] = {{0, UINT32_MAX, AF_INET},
					      {1, TYPE_MASK, SOCK_STREAM}};
	const struct argument_match ipv6[] = {{0, UINT32_MAX, AF_INET6},
					      {1, TYPE_MASK, SOCK_STREAM}};
	int error = call_filter_add(filter, SCMP_ACT_NOTIFY, SCMP_SYS(socket), 2, ipv4);

	/* There is no IPv6 in the protocol; programs fall back to IPv4. */
	if (!error)
		error = call_filter_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 2,
					ipv6);
	/* A ring of its own could make and connect sockets unseen; programs fall back to epoll. */
	if (!error)
		error = call_filter_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(io_uring_setup), 0,
					NULL);
	return error;
}

static int call_filter_add_flag(scmp_filter_ctx filter, int call, unsigned argument, uint32_t flag)
{
	return call_filter_add(filter, SCMP_ACT_ERRNO(EOPNOTSUPP), call, 1,
			       &(const struct argument_match){argument, flag, flag});
}

static int call_filter_add_rules(scmp_filter_ctx filter)
{
	int error = call_filter_add_socket(filter);
	size_t i;

	for (i = 0; i < sizeof(caught) / sizeof(caught[0]) && !error; i++)
		error = call_filter_add(filter, SCMP_ACT_NOTIFY, caught[i], 0, NULL);
	for (i = 0; i < sizeof(levels) / sizeof(levels[0]) && !error; i++) {
		const struct argument_match level = {1, UINT32_MAX, levels[i]};

		error = call_filter_add(filter, SCMP_ACT_NOTIFY, SCMP_SYS(setsockopt), 1, &level);
		if (!error)
			error = call_filter_add(filter, SCMP_ACT_NOTIFY, SCMP_SYS(getsockopt), 1,
						&level);
	}
	for (i = 0; i < sizeof(flagged) / sizeof(flagged[0]) && !error; i++) {
		error = call_filter_add_flag(filter, flagged[i].call, flagged[i].argument, MSG_OOB);
		if (!error && i < 3)
			error = call_filter_add_flag(filter, flagged[i].call, flagged[i].argument,
						     MSG_FASTOPEN);
	}
	return error;
}

int call_filter_install(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int fd;
	int error;

	if (!filter)
		return -ENOMEM;
	error = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ALLOW);
	if (!error)
		error = call_filter_add_rules(filter);
	if (!error)
		error = seccomp_load(filter);
	fd = error ? error : seccomp_notify_fd(filter);
	if (fd >= 0)
		fd = fcntl(fd, F_DUPFD_CLOEXEC, 3); /* the filter's own goes away with it */
	seccomp_release(filter);
	return fd;
}
