/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program that test_pvcalls_run.c runs as a guest: `probe_program NAME` does one thing that
 * real programs do with sockets and exits with 0 if all went as on a machine with a network.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_backend.h"
#include "probe_listener.h"
#include "probe_socket.h"

static void probe_echo(void)
{
	int fd = probe_connected(FAKE_ECHO);

	probe_exchange(fd, 1);
	probe_exchange(fd, 100000);
	close(fd);
}

static void probe_blocking_failure(void)
{
	int fd = probe_tcp(0);

	FAILS(probe_connect_to(fd, FAKE_ERRNO + ECONNREFUSED), ECONNREFUSED);
	FAILS(probe_connect_to(fd, FAKE_ERRNO + EACCES), EACCES);
	CHECK(probe_connect_to(fd, FAKE_ECHO) == 0);
	FAILS(probe_connect_to(fd, FAKE_ECHO), EISCONN);
	probe_exchange(fd, 10);
}

/* Has the backend answer what it holds. Returns when pvcalls-run has got these answers. */
static void probe_let_go(void)
{
	int fd = probe_tcp(0);

	FAILS(probe_connect_to(fd, FAKE_GO), ECONNREFUSED);
	close(fd);
}

static void probe_nonblocking(void)
{
	int fd = probe_tcp(SOCK_NONBLOCK);

	FAILS(probe_connect_to(fd, FAKE_HELD), EINPROGRESS);
	CHECK(probe_polled(fd, POLLOUT | POLLIN, 0) == 0);
	FAILS(write(fd, "x", 1), EAGAIN);
	FAILS(probe_connect_to(fd, FAKE_HELD), EALREADY);
	probe_let_go();
	CHECK(probe_polled(fd, POLLOUT, 5000) == POLLOUT);
	CHECK(probe_pending_error(fd) == 0);
	CHECK(probe_connect_to(fd, FAKE_HELD) == 0);
	FAILS(probe_connect_to(fd, FAKE_HELD), EISCONN);
	CHECK(fcntl(fd, F_SETFL, 0) == 0);
	probe_exchange(fd, 300000);
}

static void probe_nonblocking_failure(void)
{
	int fd = probe_tcp(SOCK_NONBLOCK);

	FAILS(probe_connect_to(fd, FAKE_HELD_REFUSE), EINPROGRESS);
	CHECK(probe_polled(fd, POLLOUT, 0) == 0);
	probe_let_go();
	CHECK((probe_polled(fd, POLLOUT, 5000) & (POLLERR | POLLHUP)) == (POLLERR | POLLHUP));
	CHECK(probe_pending_error(fd) == ECONNREFUSED);
	CHECK(probe_pending_error(fd) == 0);
	FAILS(probe_connect_to(fd, FAKE_ECHO), EINPROGRESS); /* again, on the same number */
	CHECK(probe_polled(fd, POLLOUT, 5000) == POLLOUT);
	CHECK(probe_pending_error(fd) == 0);
	CHECK(fcntl(fd, F_SETFL, 0) == 0);
	probe_exchange(fd, 1000);
}

/* Edge-triggered, registered before connect(): an edge when connected, and for each later room. */
static void probe_epoll_edge(void)
{
	int epoll = epoll_create1(0);
	int fd = probe_tcp(SOCK_NONBLOCK);
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
	char buffer[65536] = {0};

	CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
	while (epoll_wait(epoll, &event, 1, 0) > 0)
		;
	FAILS(probe_connect_to(fd, FAKE_HELD), EINPROGRESS);
	CHECK(epoll_wait(epoll, &event, 1, 0) == 0);
	probe_let_go();
	CHECK(epoll_wait(epoll, &event, 1, 5000) == 1);
	CHECK((event.events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == EPOLLOUT);
	CHECK(probe_pending_error(fd) == 0);
	CHECK(write(fd, "ping", 4) == 4);
	do
		CHECK(epoll_wait(epoll, &event, 1, 5000) == 1);
	while (!(event.events & EPOLLIN));
	CHECK(read(fd, buffer, sizeof(buffer)) == 4);
	while (write(fd, buffer, sizeof(buffer)) > 0)
		;
	CHECK(errno == EAGAIN);
	do {
		CHECK(epoll_wait(epoll, &event, 1, 5000) == 1);
		while (read(fd, buffer, sizeof(buffer)) > 0)
			;
	} while (!(event.events & EPOLLOUT));
}

static void probe_epoll_refused(void)
{
	int epoll = epoll_create1(0);
	int fd = probe_tcp(SOCK_NONBLOCK);
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET};

	FAILS(probe_connect_to(fd, FAKE_HELD_REFUSE), EINPROGRESS);
	CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
	CHECK(epoll_wait(epoll, &event, 1, 0) == 0);
	probe_let_go();
	CHECK(epoll_wait(epoll, &event, 1, 5000) == 1);
	CHECK(event.events & EPOLLERR && event.events & EPOLLHUP);
	CHECK(probe_pending_error(fd) == ECONNREFUSED);
}

static void probe_connect_timeout(void)
{
	int fd = probe_tcp(0);
	const struct timeval time = {.tv_usec = 100000};

	CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time)) == 0);
	FAILS(probe_connect_to(fd, FAKE_HANG), EINPROGRESS);
	CHECK(probe_polled(fd, POLLOUT, 0) == 0);
	FAILS(probe_connect_to(fd, FAKE_HANG), EALREADY);
}

/* A connect() that blocks and was interrupted goes on, and is no connection before it is one. */
static void probe_interrupted_at(uint16_t port)
{
	int fd = probe_tcp(0);

	probe_alarm_soon(0);
	FAILS(probe_connect_to(fd, port), EINTR);
	CHECK(probe_polled(fd, POLLOUT | POLLIN, 0) == 0);
	FAILS(send(fd, "x", 1, MSG_DONTWAIT), EAGAIN);
	CHECK(probe_pending_error(fd) == 0);
	probe_let_go();
	if (port == FAKE_HELD) {
		CHECK(probe_polled(fd, POLLOUT, 5000) == POLLOUT);
		CHECK(probe_pending_error(fd) == 0);
		CHECK(probe_connect_to(fd, port) == 0);
		FAILS(probe_connect_to(fd, port), EISCONN);
		probe_exchange(fd, 300000);
	} else {
		CHECK(probe_polled(fd, POLLOUT, 5000) & POLLERR);
		CHECK(probe_pending_error(fd) == ECONNREFUSED);
		CHECK(probe_connect_to(fd, FAKE_ECHO) == 0); /* on the same number */
		probe_exchange(fd, 100);
	}
	close(fd);
}

static void probe_interrupted(void)
{
	int fd;

	probe_interrupted_at(FAKE_HELD);
	probe_interrupted_at(FAKE_HELD_REFUSE);
	fd = probe_tcp(0);
	probe_alarm_soon(SA_RESTART); /* the call goes on where it was */
	CHECK(probe_connect_to(fd, FAKE_SLOW) == 0);
	probe_exchange(fd, 100);
}

static void *probe_shut_soon(void *fd)
{
	usleep(50000);
	CHECK(shutdown(*(int *)fd, SHUT_RDWR) == 0);
	return NULL;
}

/* shutdown() in whichever direction ends an attempt, whoever waits for it; another may follow. */
static void probe_shut_connecting(void)
{
	pthread_t thread;
	int fd;
	int how;

	for (how = SHUT_RD; how <= SHUT_RDWR; how++) {
		fd = probe_tcp(SOCK_NONBLOCK);
		FAILS(probe_connect_to(fd, FAKE_HANG), EINPROGRESS);
		FAILS(shutdown(fd, 3), EINVAL);
		CHECK(shutdown(fd, how) == 0);
		CHECK((probe_polled(fd, POLLOUT, 5000) & (POLLERR | POLLHUP)) ==
		      (POLLERR | POLLHUP));
		CHECK(probe_pending_error(fd) == ECONNRESET);
		FAILS(shutdown(fd, how), ENOTCONN);
		FAILS(probe_connect_to(fd, FAKE_ECHO), EINPROGRESS);
		CHECK(probe_polled(fd, POLLOUT, 5000) == POLLOUT);
		close(fd);
	}
	fd = probe_tcp(0);
	CHECK(pthread_create(&thread, NULL, probe_shut_soon, &fd) == 0);
	FAILS(probe_connect_to(fd, FAKE_HANG), ECONNRESET);
	CHECK(pthread_join(thread, NULL) == 0);
	CHECK(probe_pending_error(fd) == 0);
	CHECK(probe_connect_to(fd, FAKE_ECHO) == 0);
	probe_exchange(fd, 100);
}

static void probe_end(void)
{
	int fd = probe_connected(FAKE_HELLO);
	char buffer[16];

	probe_read_all(fd, buffer, 6);
	CHECK(memcmp(buffer, "hello\n", 6) == 0);
	CHECK(read(fd, buffer, sizeof(buffer)) == 0);
	CHECK(probe_polled(fd, POLLIN | POLLRDHUP, 0) & POLLRDHUP);
}

static void probe_reset(void)
{
	int fd = probe_connected(FAKE_RESET);
	char byte;

	CHECK(write(fd, "x", 1) == 1);
	CHECK(probe_polled(fd, POLLIN, 5000) & POLLIN);
	FAILS(read(fd, &byte, 1), ECONNRESET);
}

static void probe_download(void)
{
	int fd = probe_connected(FAKE_CHARGEN);
	static char buffer[1 << 20];
	uint32_t i;

	probe_read_all(fd, buffer, sizeof(buffer));
	for (i = 0; i < sizeof(buffer); i++)
		CHECK((uint8_t)buffer[i] == (uint8_t)(i * 2654435761u >> 24));
	CHECK(read(fd, buffer, 1) == 0);
}

/* What was written before close() arrives: the test counts it. */
static void probe_write_and_close(void)
{
	int fd = probe_connected(FAKE_DISCARD);
	static char buffer[3000000];

	probe_write_all(fd, buffer, sizeof(buffer));
	close(fd);
}

static void probe_half_close(void)
{
	int fd = probe_connected(FAKE_ANSWER);
	char *many = calloc(1, 1 << 20);
	char buffer[1000] = "";

	/* More than the ring takes, and nobody answers before the end. */
	probe_write_all(fd, many, 1 << 20);
	FAILS(recv(fd, buffer, 1, MSG_DONTWAIT), EAGAIN);
	CHECK(shutdown(fd, SHUT_WR) == 0);
	FAILS(send(fd, "x", 1, MSG_NOSIGNAL), EPIPE);
	probe_read_all(fd, buffer, 8);
	CHECK(strcmp(buffer, "1048576\n") == 0);
	CHECK(read(fd, buffer, 1) == 0);
	close(fd);
	/* The peer has ended its side before. */
	fd = probe_connected(FAKE_HELLO);
	probe_read_all(fd, buffer, 6);
	CHECK(read(fd, buffer, 1) == 0);
	CHECK(shutdown(fd, SHUT_WR) == 0);
	free(many);
	fd = probe_tcp(0);
	FAILS(shutdown(fd, SHUT_WR), ENOTCONN);
}

/* With a backend that knows no half close. */
static void probe_no_half_close(void)
{
	int fd = probe_connected(FAKE_ECHO);
	struct sockaddr_in name = {0};
	socklen_t size = sizeof(name);
	char buffer[1000];
	int i;

	probe_write_all(fd, buffer, sizeof(buffer));
	CHECK(shutdown(fd, SHUT_WR) == 0);
	FAILS(send(fd, "x", 1, MSG_NOSIGNAL), EPIPE);
	probe_read_all(fd, buffer, sizeof(buffer));
	CHECK(shutdown(fd, SHUT_RDWR) == 0);
	for (i = 0; i < 100; i++) {
		CHECK(read(fd, buffer, 1) == 0);
		CHECK(getsockname(fd, (struct sockaddr *)&name, &size) == 0);
		CHECK(name.sin_family == AF_INET);
	}
}

/* A stream that has ended is a TCP socket still, and knows who it was. */
static void probe_is_ended(int fd)
{
	struct sockaddr_in name = {0};
	socklen_t size = sizeof(name);
	int value = 0;

	CHECK(getsockname(fd, (struct sockaddr *)&name, &size) == 0);
	CHECK(size == sizeof(name) && ntohs(name.sin_port) == FAKE_LOCAL_PORT);
	FAILS(getpeername(fd, (struct sockaddr *)&name, &size), ENOTCONN);
	size = sizeof(value);
	CHECK(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &value, &size) == 0 && value == AF_INET);
	CHECK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &size) == 0 && value == 0);
	CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, sizeof(value)) == 0);
	FAILS(shutdown(fd, SHUT_WR), ENOTCONN);
	FAILS(probe_connect_to(fd, FAKE_ECHO), EISCONN);
	FAILS(send(fd, "x", 1, MSG_NOSIGNAL), EPIPE);
	CHECK(read(fd, &value, 1) == 0);
}

static void probe_ended(void)
{
	int fd = probe_connected(FAKE_ANSWER);
	char buffer[16];

	CHECK(shutdown(fd, SHUT_WR) == 0);
	probe_read_all(fd, buffer, 2);
	CHECK(read(fd, buffer, 1) == 0);
	probe_is_ended(fd);
	/* The peer was the first. */
	fd = probe_connected(FAKE_HELLO);
	probe_read_all(fd, buffer, 6);
	CHECK(read(fd, buffer, 1) == 0);
	CHECK(shutdown(fd, SHUT_WR) == 0);
	probe_let_go();
	probe_is_ended(fd);
}

static void probe_other_families(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);
	int client = socket(AF_UNIX, SOCK_STREAM, 0);
	int fd;

	FAILS(socket(AF_INET6, SOCK_STREAM, 0), EAFNOSUPPORT);
	FAILS(socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP), EPROTONOSUPPORT);
	CHECK(socket(AF_INET, SOCK_DGRAM, 0) >= 0);
	CHECK(bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)) == 0);
	CHECK(listen(listener, 1) == 0);
	socklen_t size = sizeof(address);
	CHECK(getsockname(listener, (struct sockaddr *)&address, &size) == 0);
	CHECK(connect(client, (struct sockaddr *)&address, size) == 0);
	fd = accept(listener, NULL, NULL);
	CHECK(fd >= 0 && write(client, "x", 1) == 1 && read(fd, &address, 1) == 1);
}

static void probe_names_and_options(void)
{
	int fd = probe_connected(FAKE_ECHO);
	struct sockaddr_in name = {0};
	socklen_t size = sizeof(name);
	int one = 1;
	int value = 0;
	struct tcp_info info;
	void *volatile bad = (void *)1;

	CHECK(getsockname(fd, (struct sockaddr *)&name, &size) == 0);
	CHECK(size == sizeof(name) && ntohs(name.sin_port) == 1234);
	size = sizeof(name);
	CHECK(getpeername(fd, (struct sockaddr *)&name, &size) == 0);
	CHECK(ntohs(name.sin_port) == FAKE_ECHO);
	CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0);
	size = sizeof(value);
	CHECK(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &size) == 0 && value == 1);
	size = sizeof(value);
	CHECK(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &value, &size) == 0 && value == AF_INET);
	size = sizeof(value);
	CHECK(getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &value, &size) == 0 && value == IPPROTO_TCP);
	size = sizeof(info);
	CHECK(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && info.tcpi_state == 1);
	FAILS(getsockopt(fd, IPPROTO_TCP, 200, &value, &size), ENOPROTOOPT);
	FAILS(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, bad, &size), EFAULT);
	FAILS(connect(probe_tcp(0), bad, sizeof(name)), EFAULT);
	FAILS(connect(probe_tcp(0), (struct sockaddr *)&name, 4), EINVAL);
	FAILS(send(fd, "x", 1, MSG_OOB), EOPNOTSUPP);
}

static void pass_fd(int channel, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};
	struct iovec part = {.iov_base = "x", .iov_len = 1};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes)};

	control.align = (struct cmsghdr){
		.cmsg_len = CMSG_LEN(sizeof(int)), SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
	memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
	CHECK(sendmsg(channel, &message, 0) == 1);
}

static int passed_fd(int channel)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	char byte;
	struct iovec part = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes)};
	int fd;

	CHECK(recvmsg(channel, &message, 0) == 1);
	memcpy(&fd, CMSG_DATA(&control.align), sizeof(fd));
	return fd;
}
static void probe_shared(void)
{
	int fd = probe_tcp(0);
	int copy = dup(fd);
	int channel[2];
	pid_t pid;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, channel) == 0);
	pid = fork();
	if (pid == 0) {
		CHECK(probe_connect_to(copy, FAKE_ECHO) == 0);
		_exit(0);
	}
	probe_await_child(pid);
	FAILS(probe_connect_to(fd, FAKE_ECHO), EISCONN);
	pid = fork();
	if (pid == 0) {
		close(fd);
		close(copy);
		fd = passed_fd(channel[1]);
		FAILS(probe_connect_to(fd, FAKE_ECHO), EISCONN);
		probe_exchange(fd, 5000);
		_exit(0);
	}
	pass_fd(channel[0], fd);
	close(fd);
	probe_await_child(pid);
	probe_exchange(copy, 500);
}

static void *thread_of_echoes(void *context)
{
	int i;

	(void)context;
	for (i = 0; i < 50; i++) {
		int fd = probe_connected(FAKE_ECHO);

		probe_exchange(fd, 2000);
		close(fd);
	}
	return NULL;
}

static void probe_threads(void)
{
	pthread_t threads[4];
	int i;

	for (i = 0; i < 4; i++)
		CHECK(pthread_create(&threads[i], NULL, thread_of_echoes, NULL) == 0);
	for (i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}

static void probe_many(void)
{
	static int fds[1000];
	int i;

	for (i = 0; i < 1000; i++) {
		fds[i] = probe_tcp(SOCK_NONBLOCK);
		FAILS(probe_connect_to(fds[i], FAKE_ECHO), EINPROGRESS);
	}
	for (i = 0; i < 1000; i++) {
		CHECK(probe_polled(fds[i], POLLOUT, 5000) == POLLOUT);
		CHECK(probe_pending_error(fds[i]) == 0);
		CHECK(write(fds[i], &i, sizeof(i)) == sizeof(i));
	}
	for (i = 0; i < 1000; i++) {
		int back = -1;

		CHECK(probe_polled(fds[i], POLLIN, 5000) & POLLIN);
		CHECK(read(fds[i], &back, sizeof(back)) == sizeof(back) && back == i);
	}
}
/* The test lets the daemon die once it has seen a byte. */
static void probe_daemon_dies(void)
{
	int fd = probe_connected(FAKE_DISCARD);
	int fd2 = probe_tcp(SOCK_NONBLOCK);
	char byte;

	FAILS(probe_connect_to(fd2, FAKE_HANG), EINPROGRESS);
	CHECK(write(fd, "x", 1) == 1);
	FAILS(read(fd, &byte, 1), ECONNRESET);
	CHECK(probe_polled(fd2, POLLOUT, 5000) & POLLERR);
	FAILS(socket(AF_INET, SOCK_STREAM, 0), ENETDOWN);
}

static const struct {
	const char *name;
	void (*run)(void);
} probes[] = {
	{"echo", probe_echo},
	{"blocking-failure", probe_blocking_failure},
	{"nonblocking", probe_nonblocking},
	{"nonblocking-failure", probe_nonblocking_failure},
	{"epoll-edge", probe_epoll_edge},
	{"epoll-refused", probe_epoll_refused},
	{"connect-timeout", probe_connect_timeout},
	{"interrupted", probe_interrupted},
	{"shut-connecting", probe_shut_connecting},
	{"end", probe_end},
	{"reset", probe_reset},
	{"download", probe_download},
	{"write-and-close", probe_write_and_close},
	{"half-close", probe_half_close},
	{"no-half-close", probe_no_half_close},
	{"ended", probe_ended},
	{"other-families", probe_other_families},
	{"names-and-options", probe_names_and_options},
	{"shared", probe_shared},
	{"threads", probe_threads},
	{"many", probe_many},
	{"accept", probe_accept},
	{"accept-edges", probe_accept_edges},
	{"accept-waiters", probe_accept_waiters},
	{"accept-killed", probe_accept_killed},
	{"accept-interrupted", probe_accept_interrupted},
	{"bind-failures", probe_bind_failures},
	{"daemon-dies", probe_daemon_dies},
};

int main(int argc, char **argv)
{
	size_t i;

	for (i = 0; argc == 2 && i < sizeof(probes) / sizeof(probes[0]); i++) {
		if (strcmp(argv[1], probes[i].name) != 0)
			continue;
		probes[i].run();
		return 0;
	}
	fprintf(stderr, "probe_program: no such probe\n");
	return 2;
}
