/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host as its kernel tells it. Changing addresses needs a network namespace of our own. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policy/host_view/host_view.h"

static struct host_view *open_view(uint32_t uid_first, uint32_t uid_count)
{
	struct host_view *view;
	struct fault fault;

	if (host_view_open(&view, uid_first, uid_count, &fault))
		fail_msg("%s", fault.text);
	return view;
}

static int listen_on(int family, uint16_t *port)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
	struct sockaddr *address = family == AF_INET ? (void *)&four : (void *)&six;
	socklen_t size = family == AF_INET ? sizeof(four) : sizeof(six);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, address, size) || listen(fd, 1) || getsockname(fd, address, &size)) {
		close(fd);
		return -1;
	}
	*port = ntohs(family == AF_INET ? four.sin_port : six.sin6_port);
	return fd;
}

static void test_addresses(void **state)
{
	struct host_view *view = open_view(0, 0);

	(void)state;
	assert_int_equal(host_view_refresh(view), 0);
	assert_true(host_view_has_address(view, (uint8_t[]){127, 0, 0, 1}));
	assert_true(host_view_has_address(view, (uint8_t[]){127, 200, 3, 4}));
	assert_true(host_view_has_address(view, (uint8_t[]){127, 255, 255, 255}));
	assert_true(host_view_is_broadcast(view, (uint8_t[]){127, 255, 255, 255}));
	assert_false(host_view_is_broadcast(view, (uint8_t[]){127, 0, 0, 1}));
	assert_false(host_view_has_address(view, (uint8_t[]){198, 51, 100, 77}));
	host_view_close(view);
}

static void test_listeners(void **state)
{
	static const int families[] = {AF_INET, AF_INET6};
	struct host_view *view = open_view(0, 0);
	struct host_view *guests = open_view((uint32_t)getuid(), 1);
	struct host_view *addresses;
	struct fault fault;
	uint16_t port;
	size_t i;
	int fd;

	(void)state;
	assert_int_equal(host_view_open_addresses(&addresses, &fault), 0);
	assert_true(host_view_has_address(addresses, (uint8_t[]){127, 0, 0, 1}));
	for (i = 0; i < 2; i++) {
		fd = listen_on(families[i], &port);
		if (fd < 0)
			continue; /* no IPv6 here */
		assert_int_equal(host_view_listens(view, port), 1);
		assert_int_equal(host_view_listens(guests, port), 0); /* a guest's own */
		assert_int_equal(host_view_listens(addresses, port), 0);
		close(fd);
		assert_int_equal(host_view_listens(view, port), 0);
	}
	host_view_close(addresses);
	host_view_close(guests);
	host_view_close(view);
}

static void run(const char *command)
{
	if (system(command)) /* NOLINT(cert-env33-c): constant commands of a test */
		_exit(77);
}

static void require(int truth, int code)
{
	if (!truth)
		_exit(code);
}

/* Brings a view up to date as its owner does: by an event, if it is watched by this descriptor. */
static int refresh(struct host_view *view, int watched)
{
	struct pollfd event = {.fd = watched, .events = POLLIN};

	if (watched >= 0 && poll(&event, 1, 0) == 1)
		host_view_changed(view);
	return host_view_refresh(view);
}

/* In a child with a network of its own; exit status 77: that is not possible here. */
static void change_addresses(bool watch)
{
	const uint8_t address[4] = {198, 51, 100, 77};
	const uint8_t broadcast[4] = {198, 51, 100, 255};
	struct host_view *view;
	struct fault fault;
	char command[100];
	int watched;
	int i;

	if (unshare(CLONE_NEWNET))
		_exit(77);
	require(host_view_open(&view, 0, 0, &fault) == 0, 1);
	watched = watch ? host_view_watch(view) : -1;
	require(refresh(view, watched) == 0 && !host_view_has_address(view, address), 2);
	run("ip link add d0 type bridge 2>/dev/null && ip link set d0 up");
	run("ip address add 198.51.100.77/24 brd + dev d0");
	require(refresh(view, watched) == 0, 3);
	require(host_view_has_address(view, address), 4);
	require(host_view_has_address(view, broadcast), 5);
	require(host_view_is_broadcast(view, broadcast), 6);
	run("ip link set d0 down"); /* takes the broadcast route without telling of it */
	require(refresh(view, watched) == 0 && !host_view_has_address(view, broadcast), 7);
	run("ip link set d0 up");
	/* More notifications than a socket holds. */
	for (i = 0; i < 20; i++) {
		snprintf(command, sizeof(command),
			 "for j in $(seq 1 200); do echo address add 10.%d.$j.1/24 dev d0; done | "
			 "ip -batch -",
			 i);
		run(command);
	}
	require(refresh(view, watched) == 0, 8);
	require(host_view_has_address(view, (uint8_t[]){10, 19, 200, 1}), 9);
	require(host_view_has_address(view, (uint8_t[]){10, 0, 1, 255}), 10);
	/* No event was looked for: as for a call whose timer comes first. */
	run("ip address add 203.0.113.7/32 dev d0");
	host_view_look(view);
	require(host_view_refresh(view) == 0, 11);
	require(host_view_has_address(view, (uint8_t[]){203, 0, 113, 7}), 12);
	host_view_close(view);
	_exit(0);
}

static void follows_changes(bool watch)
{
	pid_t child = fork();
	int status;

	if (child == 0)
		change_addresses(watch);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_changes(void **state)
{
	(void)state;
	follows_changes(false);
}

static void test_changes_as_events(void **state)
{
	(void)state;
	follows_changes(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_listeners),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_changes_as_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
