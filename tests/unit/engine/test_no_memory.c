/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What waits for a timer goes on although there was no memory for the timer. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/connections/connection.h"
#include "guest_calls.h"

#define RING 8u  /* indexes page of the connection */
#define DATA 24u /* its data pages, order 1 */

static bool no_timers;      /* the loop, which has none so far, gets no room for one */
static bool no_descriptors; /* for an accepted connection */

void *__real_reallocarray(void *memory, size_t count, size_t size);
void *__wrap_reallocarray(void *memory, size_t count, size_t size);

void *__wrap_reallocarray(void *memory, size_t count, size_t size)
{
	return no_timers ? NULL : __real_reallocarray(memory, count, size);
}

int __real_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags);

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
	if (!no_descriptors)
		return __real_accept4(fd, address, size, flags);
	errno = EMFILE;
	return -1;
}

/* A listener of the guest with a peer in its backlog, which is returned. */
static int open_listener(void **state)
{
	struct engine_guest *guest = engine_guest_open(OPEN_POLICY, GUEST_SOCKETS);

	engine_guest_attach(guest, true);
	guest_make_ring(guest, RING, 1, DATA);
	*state = guest;
	assert_int_equal(ask_socket(guest, 1), 0);
	assert_int_equal(ask_bind(guest, 1, INADDR_LOOPBACK, 0), 0);
	assert_int_equal(ask_listen(guest, 1), 0);
	return host_connect(socket_table_find(guest->engine->calls.sockets, 1)->local.port, 1);
}

static int teardown(void **state)
{
	no_timers = no_descriptors = false;
	engine_guest_close(*state);
	return 0;
}

static void test_accept_is_tried_again(void **state)
{
	int peer = open_listener(state);
	struct engine_guest *guest = *state;
	struct wire_response response;

	no_timers = no_descriptors = true;
	assert_int_equal(ask_accept(guest, 1, 2, RING), NO_ANSWER);
	no_descriptors = false;
	engine_guest_turn(guest);
	assert_true(guest_collect(guest, &response));
	assert_int_equal(response.ret, 0);
	close(peer);
}

/* A limit of bandwidth holds back what the guest has written. */
static void test_a_meter_is_asked_again(void **state)
{
	int peer = open_listener(state);
	struct engine_guest *guest = *state;
	struct indexes_page *page = guest_page(guest, RING);
	struct guest_socket *socket;

	assert_int_equal(ask_accept(guest, 1, 2, RING), 0);
	socket = socket_table_find(guest->engine->calls.sockets, 2);
	socket->stream.meter_out = meter_create(1, 1, loop_now_ns(guest->engine->loop));
	no_timers = true;
	page->out_prod = DATA_RING_BYTES(1);
	guest_ring(guest, 1 + RING);
	engine_guest_turn(guest);
	assert_int_equal(socket->connection->wake.heap_slot, 0);
	no_timers = false;
	engine_guest_turn(guest);
	assert_int_not_equal(socket->connection->wake.heap_slot, 0);
	close(peer);
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_accept_is_tried_again),
		TEST(test_a_meter_is_asked_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
