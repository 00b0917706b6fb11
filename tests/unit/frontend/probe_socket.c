/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "probe_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

void probe_check(bool good, const char *where, int line, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "%s:%d: %s (errno %d: %s)\n", where, line, what, errno, strerror(errno));
	exit(1);
}

void probe_check_fails(long result, int error, const char *where, int line, const char *what)
{
	probe_check(result == -1 && errno == error, where, line, what);
}

struct sockaddr_in probe_to(uint16_t port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

int probe_connect_to(int fd, uint16_t port)
{
	struct sockaddr_in address = probe_to(port);

	return connect(fd, (struct sockaddr *)&address, sizeof(address));
}

int probe_tcp(int flags)
{
	int fd = socket(AF_INET, SOCK_STREAM | flags, 0);

	CHECK(fd >= 0);
	return fd;
}

int probe_connected(uint16_t port)
{
	int fd = probe_tcp(0);

	CHECK(probe_connect_to(fd, port) == 0);
	return fd;
}

short probe_polled(int fd, short events, int timeout)
{
	struct pollfd poll_fd = {.fd = fd, .events = events};

	CHECK(poll(&poll_fd, 1, timeout) >= 0);
	return poll_fd.revents;
}

int probe_pending_error(int fd)
{
	int error = -1;
	socklen_t size = sizeof(error);

	CHECK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0);
	return error;
}

void probe_write_all(int fd, const char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t written = write(fd, bytes, size);

		CHECK(written > 0);
		bytes += written;
		size -= (size_t)written;
	}
}

void probe_read_all(int fd, char *bytes, size_t size)
{
	while (size > 0) {
		ssize_t got = read(fd, bytes, size);

		CHECK(got > 0);
		bytes += got;
		size -= (size_t)got;
	}
}

void probe_exchange(int fd, size_t size)
{
	char *out = malloc(size);
	char *in = malloc(size);
	size_t i;

	CHECK(out && in);
	for (i = 0; i < size; i++)
		out[i] = (char)(i * 31 + i / 256);
	probe_write_all(fd, out, size);
	probe_read_all(fd, in, size);
	CHECK(memcmp(in, out, size) == 0);
	free(in);
	free(out);
}
static void probe_on_alarm(int number)
{
	(void)number;
}

void probe_alarm_soon(int flags)
{
	const struct sigaction action = {.sa_handler = probe_on_alarm, .sa_flags = flags};
	const struct itimerval timer = {.it_value.tv_usec = 50000};

	CHECK(sigaction(SIGALRM, &action, NULL) == 0);
	CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
}
void probe_await_child(pid_t pid)
{
	int status;

	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* A socket made here is connected by a child, used by another that it is passed to, via a dup. */