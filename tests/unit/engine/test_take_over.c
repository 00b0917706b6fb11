/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An engine is killed; another one goes on with its rings. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "engine/lifecycle/attach.h"
#include "guest_calls.h"

#define RING(n)   (8u + (n))      /* indexes page of connection n */
#define DATA(n)   (24u + 2 * (n)) /* its data pages, order 1 */
#define ALL_BYTES ((size_t)GUEST_PAGES * RING_PAGE_SIZE)

/* What a kill leaves: the guest's pages and the recovery log, as they were at that moment. */
struct remains {
	uint8_t *memory;
	uint8_t *recovery_log;
};

static int setup(void **state)
{
	struct engine_guest *guest = engine_guest_open(OPEN_POLICY, GUEST_SOCKETS);
	int fd = memfd_create("recovery-log", MFD_CLOEXEC);
	uint32_t n;

	if (fd < 0 || ftruncate(fd, (off_t)recovery_log_bytes(GUEST_SOCKETS)) < 0 ||
	    recovery_log_open(&guest->engine->recovery_log, fd, GUEST_SOCKETS) < 0)
		return -1;
	guest->engine->recovery_fd = fd;
	engine_guest_attach(guest, true);
	for (n = 0; n < 8; n++)
		guest_make_ring(guest, RING(n), 1, DATA(n));
	*state = guest;
	return 0;
}

static int teardown(void **state)
{
	engine_guest_close(*state);
	return 0;
}

static struct remains remains_of(const struct engine_guest *guest)
{
	struct remains remains = {malloc(ALL_BYTES), malloc(recovery_log_bytes(GUEST_SOCKETS))};

	memcpy(remains.memory, guest->memory, ALL_BYTES);
	memcpy(remains.recovery_log, guest->engine->recovery_log.page,
	       recovery_log_bytes(GUEST_SOCKETS));
	return remains;
}

static void adopt(struct engine_guest *guest)
{
	struct engine_attach_args attach = {.ring_ref = 0,
					    .port = GUEST_COMMAND_PORT,
					    .names = 1,
					    .cancel = 1,
					    .reuse = 1,
					    .half_close = 1,
					    .park = 1,
					    .take_over = 1};
	struct fault fault;

	assert_int_equal(engine_attach(guest->engine, &attach, &fault), 0);
}

/* Ends the engine without a trace of that, and has a new one go on. */
static void succeed(struct engine_guest *guest, struct remains remains)
{
	engine_detach(guest->engine, AUDIT_CLOSE_SHUTDOWN);
	memcpy(guest->memory, remains.memory, ALL_BYTES);
	memcpy(guest->engine->recovery_log.page, remains.recovery_log,
	       recovery_log_bytes(GUEST_SOCKETS));
	free(remains.memory);
	free(remains.recovery_log);
	adopt(guest);
	engine_guest_turn(guest);
}

static void test_connections_are_reset(void **state)
{
	struct engine_guest *guest = *state;
	const struct indexes_page *page = guest_page(guest, RING(0));
	uint16_t port;
	int listener = host_listen(&port);

	assert_int_equal(ask_socket(guest, 1), 0);
	assert_int_equal(ask_connect(guest, 1, port, RING(0)), 0);
	assert_int_equal(page->in_error, 0);
	succeed(guest, remains_of(guest));
	assert_int_equal(page->in_error, -ECONNRESET);
	assert_int_equal(page->out_error, -ECONNRESET);
	/* The new engine serves: the old socket is unknown, and a new one works on the same pages.
	 */
	assert_int_equal(ask_release(guest, 1), 0);
	guest_make_ring(guest, RING(0), 1, DATA(0));
	assert_int_equal(ask_socket(guest, 1), 0);
	assert_int_equal(ask_connect(guest, 1, port, RING(0)), 0);
	close(listener);
}

static void test_open_calls_are_answered_once(void **state)
{
	struct engine_guest *guest = *state;
	struct wire_response response;

	assert_int_equal(ask_socket(guest, 1), 0);
	assert_int_equal(ask_bind(guest, 1, INADDR_LOOPBACK, 0), 0);
	assert_int_equal(ask_listen(guest, 1), 0);
	assert_int_equal(ask_accept(guest, 1, 11, RING(0)), NO_ANSWER);
	assert_int_equal(ask_poll(guest, 1), NO_ANSWER);
	succeed(guest, remains_of(guest));
	assert_true(guest_collect(guest, &response));
	assert_int_equal(response.cmd, WIRE_ACCEPT);
	assert_int_equal(response.req_id, WIRE_ACCEPT + 1);
	assert_int_equal(response.id, 1);
	assert_int_equal(response.ret, -ECONNABORTED);
	assert_true(guest_collect(guest, &response));
	assert_int_equal(response.cmd, WIRE_POLL);
	assert_int_equal(response.ret, -EIO);
	assert_false(guest_collect(guest, &response));
	assert_int_equal(ask_accept(guest, 1, 11, RING(0)), -EINVAL);
}

#define PARKED 100u

/* Calls that had no slot any more are told to COLLECTs: of before, and of after. */
static void test_parked_calls_are_told_once(void **state)
{
	struct engine_guest *guest = *state;
	struct wire_request request = call_request(WIRE_POLL, 1);
	struct wire_response response;
	bool told[PARKED] = {false};
	uint32_t count = 0;
	uint32_t i;

	assert_int_equal(ask_socket(guest, 1), 0);
	assert_int_equal(ask_bind(guest, 1, INADDR_LOOPBACK, 0), 0);
	assert_int_equal(ask_listen(guest, 1), 0);
	for (i = 0; i < PARKED; i++) {
		request.req_id = 1000 + i;
		guest_push(guest, &request);
		engine_guest_turn(guest);
		assert_false(guest_collect(guest, &response));
	}
	assert_true(guest->parked_count > PARKED / 2);
	succeed(guest, remains_of(guest));
	/* The first successor is killed while most have not been told yet. */
	succeed(guest, remains_of(guest));
	for (i = 0; i < 2 * PARKED; i++) {
		engine_guest_turn(guest);
		while (guest_collect(guest, &response)) {
			assert_int_equal(response.cmd, WIRE_POLL);
			assert_int_equal(response.ret, -EIO);
			assert_in_range(response.req_id, 1000, 1000 + PARKED - 1);
			assert_false(told[response.req_id - 1000]);
			told[response.req_id - 1000] = true;
			count++;
		}
	}
	assert_int_equal(count, PARKED);
	assert_int_equal(guest->engine->calls.table.parked, 0);
	assert_int_equal(ask_socket(guest, 2), 0);
}

/* A request that was on the ring and not taken is served as if nothing had been. */
static void test_requests_on_the_ring_are_served(void **state)
{
	struct engine_guest *guest = *state;
	struct wire_request request = call_request(WIRE_SOCKET, 7);
	struct wire_response response;

	request.u.socket.domain = AF_INET;
	request.u.socket.type = SOCK_STREAM;
	assert_int_equal(ask_socket(guest, 1), 0);
	guest_push(guest, &request);
	succeed(guest, remains_of(guest));
	assert_true(guest_collect(guest, &response));
	assert_int_equal(response.id, 7);
	assert_int_equal(response.ret, 0);
	assert_non_null(socket_table_find(guest->engine->calls.sockets, 7));
}

/* A response that was written and not counted is given again, one that was counted is not. */
static void test_killed_between_two_stores(void **state)
{
	struct engine_guest *guest = *state;
	struct wire_response response;
	struct remains remains;
	struct recovery_log_page *page;

	assert_int_equal(ask_socket(guest, 1), 0);
	assert_int_equal(ask_socket(guest, 2), 0);
	remains = remains_of(guest);
	page = (struct recovery_log_page *)remains.recovery_log;
	page->requests[3] = (struct recovery_log_request){.state = RECOVERY_LOG_ANSWERED,
							  .index = 1,
							  .req_id = 40,
							  .cmd = WIRE_SOCKET,
							  .id = 2};
	page->requests[4] = (struct recovery_log_request){
		.state = RECOVERY_LOG_TAKEN, .index = 2, .req_id = 41, .cmd = WIRE_SOCKET, .id = 3};
	page->req_cons = 3; /* a third was taken ... */
	guest_command_page(guest)->req_prod = 3;
	((struct command_page *)remains.memory)->req_prod = 3;
	guest->req_prod = 3;
	succeed(guest, remains);
	assert_true(guest_collect(guest, &response));
	assert_int_equal(response.req_id, 41); /* ... and only that is answered */
	assert_false(guest_collect(guest, &response));
}

/* A recovery log of another ring says nothing of this one. */
static void test_a_foreign_recovery_log(void **state)
{
	struct engine_guest *guest = *state;
	struct remains remains;

	assert_int_equal(ask_socket(guest, 1), 0);
	remains = remains_of(guest);
	((struct recovery_log_page *)remains.recovery_log)->ring_ref = 99;
	succeed(guest, remains);
	assert_int_equal(ask_socket(guest, 2), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_connections_are_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_open_calls_are_answered_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_parked_calls_are_told_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_requests_on_the_ring_are_served, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_killed_between_two_stores, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_foreign_recovery_log, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
