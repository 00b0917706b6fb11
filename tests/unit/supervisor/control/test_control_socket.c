/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Clients of the control socket that are many, slow, rude or in a hurry. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "supervisor/control/control_socket.h"

struct server {
	char directory[32];
	struct loop *loop;
	struct control_socket *control;
	bool closed; /* to newcomers */
	bool slow;   /* answers are kept back */
	struct control_client *waiting;
	int requests;
	char last[128];
};

static bool may_connect(void *owner, uint32_t uid)
{
	struct server *server = owner;

	(void)uid;
	return !server->closed;
}

static void request(void *owner, struct control_client *client, uint32_t uid, const char *line)
{
	struct server *server = owner;

	assert_int_equal(uid, geteuid());
	server->requests++;
	snprintf(server->last, sizeof(server->last), "%s", line);
	if (server->slow)
		server->waiting = client;
	else
		control_reply_result(client, json_string(line));
}

static int setup(void **state)
{
	struct server *server = calloc(1, sizeof(*server));
	const struct control_calls calls = {
		.may_connect = may_connect, .request = request, .owner = server};
	struct fault fault;

	strcpy(server->directory, "/tmp/pvcalls-control-XXXXXX");
	assert_non_null(mkdtemp(server->directory));
	server->loop = loop_create();
	assert_int_equal(control_socket_open(&server->control, server->directory, 0600,
					     server->loop, &calls, &fault),
			 0);
	*state = server;
	return 0;
}

static int teardown(void **state)
{
	struct server *server = *state;

	control_socket_close(server->control);
	loop_destroy(server->loop);
	assert_int_equal(rmdir(server->directory), 0); /* its socket is gone */
	free(server);
	return 0;
}

static void turn(struct server *server)
{
	for (int i = 0; i < 20; i++)
		loop_turn(server->loop, NS_PER_MS);
}

static int connect_client(struct server *server)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/control.sock", server->directory);
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	turn(server);
	return fd;
}

static void say(struct server *server, int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	turn(server);
}

static void hear(int fd, const char *expected)
{
	char text[256];
	ssize_t got = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	text[got > 0 ? got : 0] = '\0';
	if (!strstr(text, expected))
		fail_msg("heard '%s', expected '%s'", text, expected);
}

static void lines_are_answered(void **state)
{
	struct server *server = *state;
	int fd = connect_client(server);

	say(server, fd, "one\n");
	hear(fd, "{\"ok\":true,\"result\":\"one\"}\n");
	say(server, fd, "in ");
	say(server, fd, "pieces");
	assert_int_equal(server->requests, 1);
	say(server, fd, "\n");
	hear(fd, "in pieces");
	say(server, fd, "a\nb\nc\n");
	assert_int_equal(server->requests, 5);
	hear(fd, "\"a\"}\n{\"ok\":true,\"result\":\"b\"}\n{\"ok\":true,\"result\":\"c\"}\n");
	close(fd);
	turn(server);
}

static void one_request_at_a_time(void **state)
{
	struct server *server = *state;
	int fd = connect_client(server);

	server->slow = true;
	say(server, fd, "first\nsecond\n");
	assert_int_equal(server->requests, 1);
	server->slow = false;
	control_reply_error(server->waiting, 3, "no");
	turn(server);
	assert_int_equal(server->requests, 2);
	hear(fd, "\"no\"}\n{\"ok\":true,\"result\":\"second\"}\n");
	close(fd);
	turn(server);
}

static void one_that_left_is_not_answered(void **state)
{
	struct server *server = *state;
	int fd = connect_client(server);

	server->slow = true;
	say(server, fd, "first\n");
	close(fd);
	turn(server);
	control_reply_result(server->waiting, json_null());
	turn(server);
}

static void long_lines_end_it(void **state)
{
	struct server *server = *state;
	char *text = malloc(CONTROL_LINE_MAX + 1);
	int fd = connect_client(server);
	char byte;

	memset(text, 'x', CONTROL_LINE_MAX);
	text[CONTROL_LINE_MAX] = '\0';
	say(server, fd, text);
	hear(fd, "longer than 64 KiB");
	assert_int_equal(recv(fd, &byte, 1, 0), 0);
	assert_int_equal(server->requests, 0);
	free(text);
	close(fd);
}

static void strangers_are_told_so(void **state)
{
	struct server *server = *state;
	char byte;
	int fd;

	server->closed = true;
	fd = connect_client(server);
	hear(fd, "\"status\":5,\"error\":\"not permitted");
	assert_int_equal(recv(fd, &byte, 1, 0), 0);
	close(fd);
}

static void clients_are_counted(void **state)
{
	struct server *server = *state;
	int fds[CONTROL_CLIENTS_MAX];
	int more;

	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		fds[i] = connect_client(server);
	more = connect_client(server);
	hear(more, "too many clients");
	close(more);
	close(fds[3]);
	turn(server);
	more = connect_client(server);
	say(server, more, "again\n");
	hear(more, "again");
	close(more);
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		if (i != 3)
			close(fds[i]);
	}
	turn(server);
}

static void slow_readers_hold_up_nobody(void **state)
{
	struct server *server = *state;
	int slow = connect_client(server);
	int quick = connect_client(server);
	char *big = malloc(4u << 20);
	ssize_t total = 0;
	ssize_t got;

	server->slow = true;
	say(server, slow, "big\n");
	memset(big, 'y', 4u << 20);
	big[(4u << 20) - 1] = '\0';
	control_reply_result(server->waiting, json_string(big));
	server->slow = false;
	say(server, quick, "quick\n");
	hear(quick, "quick");
	while (total < (4 << 20)) {
		turn(server);
		got = recv(slow, big, 4u << 20, MSG_DONTWAIT);
		assert_true(got > 0);
		total += got;
	}
	say(server, slow, "more\n");
	hear(slow, "more");
	free(big);
	close(slow);
	close(quick);
	turn(server);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lines_are_answered, setup, teardown),
		cmocka_unit_test_setup_teardown(one_request_at_a_time, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_left_is_not_answered, setup, teardown),
		cmocka_unit_test_setup_teardown(long_lines_end_it, setup, teardown),
		cmocka_unit_test_setup_teardown(strangers_are_told_so, setup, teardown),
		cmocka_unit_test_setup_teardown(clients_are_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(slow_readers_hold_up_nobody, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
