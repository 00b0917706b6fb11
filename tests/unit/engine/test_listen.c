/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What LISTEN leaves of a socket: listening, watched and told of, or bound as before. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

#include <cmocka.h>

#include "guest_calls.h"

#define RING 8u  /* indexes page of the one connection */
#define DATA 24u /* its data pages, order 1 */

static int setup(void **state)
{
	struct engine_guest *guest = engine_guest_open(OPEN_POLICY, GUEST_SOCKETS);

	engine_guest_attach(guest, true);
	guest_make_ring(guest, RING, 1, DATA);
	*state = guest;
	return 0;
}

static int teardown(void **state)
{
	engine_guest_close(*state);
	return 0;
}

/* A listening socket of the guest on loopback; returns its port. */
static uint16_t listening(struct engine_guest *guest, uint64_t id)
{
	struct guest_socket *socket;

	assert_int_equal(ask_socket(guest, id), 0);
	assert_int_equal(ask_bind(guest, id, INADDR_LOOPBACK, 0), 0);
	assert_int_equal(ask_listen(guest, id), 0);
	socket = socket_table_find(guest->engine->calls.sockets, id);
	return socket->local.port;
}

static void test_listen_tells_the_port(void **state)
{
	struct engine_guest *guest = *state;
	struct wire_request request = call_request(WIRE_LISTEN, 1);
	struct wire_response response;

	assert_int_equal(ask_socket(guest, 1), 0);
	assert_int_equal(ask_bind(guest, 1, INADDR_LOOPBACK, 0), 0);
	guest_push(guest, &request);
	engine_guest_turn(guest);
	assert_true(guest_collect(guest, &response));
	assert_int_equal(response.pad,
			 socket_table_find(guest->engine->calls.sockets, 1)->local.port);
}

static void see_nothing(struct loop_source *source, uint32_t events)
{
	(void)source;
	(void)events;
}

/* The loop's own watch fails: its epoll knows the descriptor already, by another source. */
static void test_a_listener_that_cannot_be_watched(void **state)
{
	struct engine_guest *guest = *state;
	struct loop *loop = guest->engine->loop;
	struct loop_source other = {.fd = -1};
	struct guest_socket *socket;
	int fd;

	assert_int_equal(ask_socket(guest, 1), 0);
	assert_int_equal(ask_bind(guest, 1, INADDR_LOOPBACK, 0), 0);
	socket = socket_table_find(guest->engine->calls.sockets, 1);
	/* No events: those of a socket that is only bound would come otherwise. */
	assert_int_equal(loop_add(loop, &other, socket->fd, EPOLLET, see_nothing, NULL), 0);
	loop_turn(loop, 0);
	assert_int_equal(ask_listen(guest, 1), -EEXIST);
	assert_int_equal(socket->state, SOCKET_BOUND);
	assert_int_equal(host_connect(socket->local.port, 1), -1);
	loop_remove(loop, &other);
	assert_int_equal(ask_listen(guest, 1), 0);
	fd = host_connect(socket->local.port, 1);
	assert_int_equal(ask_accept(guest, 1, 2, RING), 0);
	close(fd);
}

/* listen(2) fails: somebody else has come to listen on the port. Nothing watches the socket. */
static void test_a_listener_that_cannot_listen(void **state)
{
	struct engine_guest *guest = *state;
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const struct guest_socket *bound;
	const int on = 1;
	int other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd;

	assert_int_equal(ask_socket(guest, 1), 0);
	assert_int_equal(ask_bind(guest, 1, INADDR_LOOPBACK, 0), 0);
	bound = socket_table_find(guest->engine->calls.sockets, 1);
	address.sin_port = htons(bound->local.port);
	assert_int_equal(setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(other, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(other, 1), 0);
	assert_int_equal(ask_listen(guest, 1), -EADDRINUSE);
	assert_int_equal(bound->state, SOCKET_BOUND);
	assert_int_equal(loop_turn(guest->engine->loop, 0), 0);
	close(other);
	assert_int_equal(ask_listen(guest, 1), 0);
	fd = host_connect(bound->local.port, 1);
	assert_int_equal(ask_accept(guest, 1, 2, RING), 0);
	close(fd);
}

static void test_port_of_a_living_listener_is_refused(void **state)
{
	struct engine_guest *guest = *state;
	uint16_t port = listening(guest, 1);

	assert_int_equal(ask_socket(guest, 2), 0);
	/* In one process the guest's listener is the host's: the floor denies before the kernel. */
	assert_int_equal(ask_bind(guest, 2, INADDR_LOOPBACK, port), -EADDRINUSE);
}

/* A server that starts again at once: its port is free before the next request is looked at. */
static void test_port_is_free_after_release(void **state)
{
	struct engine_guest *guest = *state;
	uint16_t port = listening(guest, 1);
	struct wire_request release = call_request(WIRE_RELEASE, 1);
	struct wire_request socket = call_request(WIRE_SOCKET, 2);
	struct wire_response response;

	socket.u.socket.domain = AF_INET;
	socket.u.socket.type = SOCK_STREAM;
	guest_push(guest, &release);
	guest_push(guest, &socket);
	assert_int_equal(ask_bind(guest, 2, INADDR_LOOPBACK, port), 0); /* the RELEASE */
	assert_true(guest_collect(guest, &response));
	assert_int_equal(response.ret, 0);
	assert_true(guest_collect(guest, &response));
	assert_int_equal(response.cmd, WIRE_BIND);
	assert_int_equal(response.ret, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_listen_tells_the_port),
		TEST(test_a_listener_that_cannot_be_watched),
		TEST(test_a_listener_that_cannot_listen),
		TEST(test_port_of_a_living_listener_is_refused),
		TEST(test_port_is_free_after_release),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
