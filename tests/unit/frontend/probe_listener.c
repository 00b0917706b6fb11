/* SPDX-License-Identifier: GPL-2.0-or-later */
/* bind(), listen() and accept() as programs use them. */
#include "probe_listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_backend.h"
#include "probe_socket.h"

static int probe_listener_open(uint16_t port)
{
	struct sockaddr_in address = probe_to(port);
	int fd = probe_tcp(0);

	CHECK(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	CHECK(listen(fd, 16) == 0);
	return fd;
}

/* The test offers three connections. */
void probe_accept(void)
{
	int fd = probe_listener_open(100);
	struct sockaddr_in name = {0};
	socklen_t size = sizeof(name);
	int i;

	for (i = 0; i < 3; i++) {
		int accepted;

		CHECK(probe_polled(fd, POLLIN, 5000) == POLLIN);
		size = sizeof(name);
		accepted = accept4(fd, (struct sockaddr *)&name, &size, SOCK_CLOEXEC);
		CHECK(accepted >= 0 && size == sizeof(name) && ntohs(name.sin_port) == FAKE_ECHO);
		CHECK(fcntl(accepted, F_GETFD) == FD_CLOEXEC);
		probe_exchange(accepted, 1000);
		close(accepted);
	}
	CHECK(probe_polled(fd, POLLIN, 50) == 0);
	CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	FAILS(accept(fd, NULL, NULL), EAGAIN);
}

/* An edge for each connection, also without accepting in between. */
void probe_accept_edges(void)
{
	int fd = probe_listener_open(100);
	int epoll = epoll_create1(0);
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};
	int accepted = 0;

	CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
	while (accepted < 3) {
		CHECK(epoll_wait(epoll, &event, 1, 5000) == 1);
		while (accept(fd, NULL, NULL) >= 0)
			accepted++;
		CHECK(errno == EAGAIN);
	}
	CHECK(epoll_wait(epoll, &event, 1, 50) == 0);
}

/* Three processes wait in accept(), each gets one connection. */
void probe_accept_waiters(void)
{
	int fd = probe_listener_open(0);
	struct sockaddr_in name = {0};
	socklen_t size = sizeof(name);
	pid_t children[3];
	int i;

	CHECK(getsockname(fd, (struct sockaddr *)&name, &size) == 0);
	CHECK(ntohs(name.sin_port) == 40000);
	for (i = 0; i < 3; i++) {
		children[i] = fork();
		if (children[i] == 0) {
			int accepted = accept(fd, NULL, NULL);

			CHECK(accepted >= 0);
			probe_exchange(accepted, 100);
			_exit(0);
		}
	}
	for (i = 0; i < 3; i++)
		probe_await_child(children[i]);
}

/* A process that is killed in accept() does not take the connection with it. */
void probe_accept_killed(void)
{
	int fd = probe_listener_open(99);
	pid_t child = fork();
	int accepted;

	if (child == 0) {
		accept(fd, NULL, NULL);
		_exit(1);
	}
	usleep(50000);
	kill(child, SIGKILL);
	CHECK(waitpid(child, NULL, 0) == child);
	CHECK(listen(fd, 16) == 0);
	fd = probe_listener_open(100); /* now the test offers one to each */
	accepted = accept(fd, NULL, NULL);
	CHECK(accepted >= 0);
	probe_exchange(accepted, 100);
}

void probe_accept_interrupted(void)
{
	int fd = probe_listener_open(99);
	const struct timeval time = {.tv_usec = 50000};

	probe_alarm_soon(0);
	FAILS(accept(fd, NULL, NULL), EINTR);
	CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)) == 0);
	FAILS(accept(fd, NULL, NULL), EAGAIN);
	CHECK(shutdown(fd, SHUT_WR) == 0);
	FAILS(accept(fd, NULL, NULL), EAGAIN);
	CHECK(shutdown(fd, SHUT_RD) == 0);
	FAILS(accept(fd, NULL, NULL), EINVAL);
	FAILS(shutdown(fd, SHUT_RD), ENOTCONN);
	CHECK(listen(fd, 16) == 0); /* where it was, and with the same time-out */
	CHECK(probe_polled(fd, POLLIN, 0) == 0);
	FAILS(accept(fd, NULL, NULL), EAGAIN);
}

void probe_bind_failures(void)
{
	struct sockaddr_in address = probe_to(81);
	int fd = probe_tcp(0);

	FAILS(bind(fd, (struct sockaddr *)&address, sizeof(address)), EACCES);
	FAILS(accept(fd, NULL, NULL), EINVAL);
	CHECK(listen(fd, 5) == 0); /* without bind(): any port */
	FAILS(bind(fd, (struct sockaddr *)&address, sizeof(address)), EINVAL);
	FAILS(probe_connect_to(fd, FAKE_ECHO), EISCONN);
}
