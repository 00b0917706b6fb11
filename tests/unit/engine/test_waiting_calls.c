/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calls that wait: for a plugin's delay, for the network, for a peer. What they will need stays
 * theirs, and whatever comes meanwhile gets an answer of its own.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "engine/lifecycle/attach.h"
#include "guest_calls.h"

#define RING(n)  (8u + (n))        /* indexes page of connection n */
#define DATA(n)  (24u + 2 * (n))   /* its data pages, order 1 */
#define DELAY_NS (100 * NS_PER_MS) /* longer than all that a test asks meanwhile takes */

/* A policy that has these operations wait for DELAY_NS, and allows everything on loopback. */
#define DELAYING(ops)                                                         \
	"version: 1\nname: delaying\nmatch: {name: guest}\ndefault: allow\n"  \
	"floor: {allow: [{on: [connect, bind], to: {net: [127.0.0.0/8]}}]}\n" \
	"chain:\n"                                                            \
	"  - {plugin: random-verdict, seed: 1, on: [" ops "], verdicts: [delay], delay: 100ms}\n"

static int setup(void **state)
{
	struct engine_guest *guest = engine_guest_open(OPEN_POLICY, GUEST_SOCKETS);
	uint32_t n;

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

/* Lets the engine work until it has answered, or does not for fifty times the delay. */
static int answer(struct engine_guest *guest, struct wire_response *response)
{
	uint64_t until = clock_monotonic_ns() + 50 * DELAY_NS;

	while (!guest_collect(guest, response)) {
		if (clock_monotonic_ns() > until)
			return NO_ANSWER;
		loop_turn(guest->engine->loop, NS_PER_MS);
		engine_guest_turn(guest);
	}
	return response->ret;
}

/* The next answer, which must be to this operation. */
static int answer_to(struct engine_guest *guest, uint32_t cmd)
{
	struct wire_response response;
	int result = answer(guest, &response);

	assert_int_not_equal(result, NO_ANSWER);
	assert_int_equal(response.cmd, cmd);
	return result;
}

static void assert_no_answer(struct engine_guest *guest)
{
	struct wire_response response;

	engine_guest_turn(guest);
	assert_false(guest_collect(guest, &response));
}

static uint32_t records_of(struct engine_guest *guest, uint32_t op)
{
	uint32_t count = 0;
	uint32_t i;

	engine_guest_store(guest);
	assert_true(guest->record_count <= GUEST_RECORDS);
	for (i = 0; i < guest->record_count; i++)
		count += guest->records[i].op == op;
	return count;
}

static void test_a_delayed_call_is_executed_later(void **state)
{
	struct engine_guest *guest = *state;
	uint16_t port = 0;
	int listener = host_listen(&port);
	uint64_t began = clock_monotonic_ns();

	assert_int_equal(ask_socket(guest, 1), 0);
	engine_guest_policy(guest, DELAYING("connect"));
	assert_int_equal(ask_connect(guest, 1, port, RING(0)), NO_ANSWER);
	assert_int_equal(answer_to(guest, WIRE_CONNECT), 0);
	assert_true(clock_monotonic_ns() - began >= DELAY_NS);
	close(listener);
}

/* Rows are stored in the order in which things happened, and dated so: not when they were asked. */
static void test_a_row_is_dated_when_its_call_was_done(void **state)
{
	struct engine_guest *guest = *state;
	const struct audit_record *record;
	uint64_t others_ns;
	uint16_t port = 0;
	int listener = host_listen(&port);

	assert_int_equal(ask_socket(guest, 1), 0);
	engine_guest_policy(guest, DELAYING("connect"));
	assert_int_equal(ask_connect(guest, 1, port, RING(0)), NO_ANSWER);
	assert_int_equal(ask_socket(guest, 2), 0);
	others_ns = clock_wall_ns();
	assert_int_equal(answer_to(guest, WIRE_CONNECT), 0);
	record = last_record(guest, PVCALLS_OP_CONNECT);
	assert_in_range(record->wall_ns, others_ns, clock_wall_ns());
	assert_true(record->total_ns >= DELAY_NS);
	assert_true(record->decision_ns < DELAY_NS);
	close(listener);
}

static void test_a_late_denial_is_dated_when_it_fell(void **state)
{
	struct engine_guest *guest = *state;
	const struct audit_record *record;
	uint64_t closed_ns;

	assert_int_equal(ask_socket(guest, 1), 0);
	engine_guest_policy(guest, DELAYING("connect"));
	assert_int_equal(ask_connect(guest, 1, 80, RING(0)), NO_ANSWER);
	engine_guest_policy(guest,
			    "version: 1\nname: shut\nmatch: {name: guest}\ndefault: allow\n");
	closed_ns = clock_wall_ns();
	assert_int_equal(answer_to(guest, WIRE_CONNECT), -EACCES);
	record = last_record(guest, PVCALLS_OP_CONNECT);
	assert_int_equal(record->verdict, VERDICT_DENY);
	assert_in_range(record->wall_ns, closed_ns, clock_wall_ns());
}

static void test_two_connects_on_one_socket(void **state)
{
	struct engine_guest *guest = *state;
	uint16_t port = 0;
	int listener = host_listen(&port);

	assert_int_equal(ask_socket(guest, 1), 0);
	engine_guest_policy(guest, DELAYING("connect"));
	assert_int_equal(ask_connect(guest, 1, port, RING(0)), NO_ANSWER);
	assert_int_equal(ask_connect(guest, 1, port, RING(1)), -EALREADY);
	assert_int_equal(answer_to(guest, WIRE_CONNECT), 0);
	assert_int_equal(ask_connect(guest, 1, port, RING(1)), -EISCONN);
	assert_no_answer(guest);
	assert_int_equal(records_of(guest, PVCALLS_OP_CONNECT), 3);
	close(listener);
}

static void test_socket_then_release(void **state)
{
	struct engine_guest *guest = *state;

	engine_guest_policy(guest, DELAYING("socket"));
	assert_int_equal(ask_socket(guest, 1), NO_ANSWER);
	assert_int_equal(ask_release(guest, 1), -ECANCELED); /* the SOCKET */
	assert_int_equal(answer_to(guest, WIRE_RELEASE), 0);
	assert_int_equal(socket_table_count(guest->engine->calls.sockets), 0);
	assert_int_equal(records_of(guest, PVCALLS_OP_SOCKET), 1);
	assert_int_equal(last_record(guest, PVCALLS_OP_SOCKET)->verdict, VERDICT_ALLOW);
	assert_int_equal(last_record(guest, PVCALLS_OP_SOCKET)->cancelled, 1);
	assert_int_equal(records_of(guest, PVCALLS_OP_RELEASE), 1);
	loop_turn(guest->engine->loop, 2 * DELAY_NS);
	assert_no_answer(guest);
}

static void test_socket_then_everything(void **state)
{
	struct engine_guest *guest = *state;

	engine_guest_policy(guest, DELAYING("socket"));
	assert_int_equal(ask_socket(guest, 1), NO_ANSWER);
	assert_int_equal(ask_socket(guest, 1), -EEXIST);
	assert_int_equal(ask_connect(guest, 1, 80, RING(0)), -EINVAL);
	assert_int_equal(ask_bind(guest, 1, INADDR_LOOPBACK, 0), -EINVAL);
	assert_int_equal(ask_listen(guest, 1), -EINVAL);
	assert_int_equal(ask_accept(guest, 1, 2, RING(0)), -EINVAL);
	assert_int_equal(ask_poll(guest, 1), -EINVAL);
	assert_int_equal(answer_to(guest, WIRE_SOCKET), 0);
}

/* An honest guest that exits while its calls wait. */
static void test_the_guest_goes_while_calls_wait(void **state)
{
	struct engine_guest *guest = *state;
	uint16_t port = 0;
	int listener = host_listen(&port);
	int peer;

	assert_int_equal(ask_socket(guest, 1), 0);
	assert_int_equal(ask_socket(guest, 2), 0);
	assert_int_equal(ask_bind(guest, 2, INADDR_LOOPBACK, 0), 0);
	assert_int_equal(ask_listen(guest, 2), 0);
	peer = host_connect(socket_table_find(guest->engine->calls.sockets, 2)->local.port, 9);
	engine_guest_policy(guest, DELAYING("socket, connect, bind, accept, poll, release"));
	assert_int_equal(ask_connect(guest, 1, port, RING(0)), NO_ANSWER);
	assert_int_equal(ask_accept(guest, 2, 20, RING(1)), NO_ANSWER);
	assert_int_equal(ask_accept(guest, 2, 21, RING(2)), NO_ANSWER);
	assert_int_equal(ask_poll(guest, 2), NO_ANSWER);
	assert_int_equal(ask_socket(guest, 3), NO_ANSWER);
	engine_detach(guest->engine, AUDIT_CLOSE_GUEST_GONE);
	assert_int_equal(socket_table_count(guest->engine->calls.sockets), 0);
	assert_int_equal(records_of(guest, PVCALLS_OP_CONNECT), 1);
	assert_int_equal(records_of(guest, PVCALLS_OP_ACCEPT), 2);
	assert_int_equal(records_of(guest, PVCALLS_OP_POLL), 1);
	assert_int_equal(records_of(guest, PVCALLS_OP_SOCKET), 3);
	assert_int_equal(records_of(guest, PVCALLS_OP_RELEASE), 2);
	assert_int_equal(guest->engine->calls.counters.cancelled, 5);
	assert_int_equal(audit_queue_used(guest->engine->calls.queue), guest->record_count);
	loop_turn(guest->engine->loop, 2 * DELAY_NS);
	close(peer);
	close(listener);
}

/* A listener with a peer whose ACCEPT is delayed; returns the peer. */
static int delayed_accept(struct engine_guest *guest)
{
	int peer;

	assert_int_equal(ask_socket(guest, 1), 0);
	assert_int_equal(ask_bind(guest, 1, INADDR_LOOPBACK, 0), 0);
	assert_int_equal(ask_listen(guest, 1), 0);
	engine_guest_policy(guest, DELAYING("accept"));
	peer = host_connect(socket_table_find(guest->engine->calls.sockets, 1)->local.port, 9);
	assert_int_equal(ask_accept(guest, 1, 2, RING(0)), NO_ANSWER);
	return peer;
}

static void test_accept_then_release_of_the_new_socket(void **state)
{
	struct engine_guest *guest = *state;
	int peer = delayed_accept(guest);
	char byte;

	assert_int_equal(ask_release(guest, 2), -ECANCELED); /* the ACCEPT */
	assert_int_equal(answer_to(guest, WIRE_RELEASE), 0);
	assert_int_equal(recv(peer, &byte, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	loop_turn(guest->engine->loop, 2 * DELAY_NS);
	assert_no_answer(guest);
	assert_int_equal(records_of(guest, PVCALLS_OP_ACCEPT), 1);
	close(peer);
}

static void test_accept_then_socket_of_the_new_name(void **state)
{
	struct engine_guest *guest = *state;
	int peer = delayed_accept(guest);

	assert_int_equal(ask_socket(guest, 2), -EEXIST);
	assert_int_equal(ask_connect(guest, 2, 80, RING(1)), -EINVAL);
	assert_int_equal(ask_accept(guest, 1, 2, RING(1)), -EEXIST);
	assert_int_equal(answer_to(guest, WIRE_ACCEPT), 0);
	assert_int_equal(socket_table_find(guest->engine->calls.sockets, 2)->state, SOCKET_STREAM);
	close(peer);
}

static void test_accept_then_release_of_its_listener(void **state)
{
	struct engine_guest *guest = *state;
	int peer = delayed_accept(guest);

	assert_int_equal(ask_release(guest, 1), -ECANCELED); /* the ACCEPT */
	assert_int_equal(answer_to(guest, WIRE_RELEASE), 0);
	assert_int_equal(socket_table_count(guest->engine->calls.sockets), 0);
	loop_turn(guest->engine->loop, 2 * DELAY_NS);
	assert_no_answer(guest);
	close(peer);
}

static void test_bind_then_listen(void **state)
{
	struct engine_guest *guest = *state;

	assert_int_equal(ask_socket(guest, 1), 0);
	engine_guest_policy(guest, DELAYING("bind, listen"));
	assert_int_equal(ask_bind(guest, 1, INADDR_LOOPBACK, 0), NO_ANSWER);
	assert_int_equal(ask_bind(guest, 1, INADDR_LOOPBACK, 0), -EINVAL);
	assert_int_equal(ask_listen(guest, 1), -EINVAL);
	assert_int_equal(answer_to(guest, WIRE_BIND), 0);
	assert_int_equal(ask_listen(guest, 1), NO_ANSWER);
	assert_int_equal(ask_release(guest, 1), -ECANCELED); /* the LISTEN */
	assert_int_equal(answer_to(guest, WIRE_RELEASE), 0);
	assert_int_equal(socket_table_count(guest->engine->calls.sockets), 0);
}

/* A socket whose RELEASE waits, since its peer reads nothing and the room for copies is used. */
static int waiting_release(struct engine_guest *guest)
{
	struct indexes_page *page = guest_page(guest, RING(0));
	struct ring_span span = {.parts = 1};
	uint16_t port = 0;
	int listener = host_listen(&port);
	int pair[2];
	int peer;

	assert_int_equal(ask_socket(guest, 1), 0);
	assert_int_equal(ask_connect(guest, 1, port, RING(0)), 0);
	peer = accept(listener, NULL, NULL);
	close(listener);
	while (page->out_prod - page->out_cons < DATA_RING_BYTES(1)) {
		page->out_prod = page->out_cons + DATA_RING_BYTES(1);
		guest_ring(guest, 1 + RING(0));
		engine_guest_turn(guest);
	}
	span.part[0].iov_len = LINGERING_BYTES_MAX;
	span.part[0].iov_base = calloc(1, LINGERING_BYTES_MAX);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(
		lingering_add(guest->engine->calls.lingering, pair[0], &span, LINGERING_BYTES_MAX),
		0);
	close(dup(pair[1]));
	free(span.part[0].iov_base);
	assert_int_equal(ask_release(guest, 1), NO_ANSWER);
	return peer;
}

static void test_second_release(void **state)
{
	struct engine_guest *guest = *state;
	int peer = waiting_release(guest);

	assert_int_equal(ask_release(guest, 1), -EBADF);
	assert_int_equal(ask_connect(guest, 1, 80, RING(1)), -EBADF);
	assert_no_answer(guest);
	close(peer); /* with bytes unread: a reset, so there is nobody to wait for */
	assert_int_equal(answer_to(guest, WIRE_RELEASE), 0);
	assert_int_equal(socket_table_count(guest->engine->calls.sockets), 0);
	assert_int_equal(records_of(guest, PVCALLS_OP_RELEASE), 2);
}

static void test_the_guest_goes_while_a_release_waits(void **state)
{
	struct engine_guest *guest = *state;
	int peer = waiting_release(guest);

	engine_detach(guest->engine, AUDIT_CLOSE_GUEST_GONE);
	assert_int_equal(records_of(guest, PVCALLS_OP_RELEASE), 1);
	assert_int_equal(last_record(guest, PVCALLS_OP_RELEASE)->close_reason,
			 AUDIT_CLOSE_GUEST_GONE);
	assert_int_equal(last_record(guest, PVCALLS_OP_RELEASE)->cancelled, 0);
	close(peer);
}

/* The host has begun to listen on a port while the guest's BIND to it waited. */
static void test_the_host_is_looked_at_again(void **state)
{
	struct engine_guest *guest = *state;
	const struct audit_record *record;
	uint16_t port = 0;
	int listener = host_listen(&port);
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				      .sin_port = htons(port)};

	close(listener);
	assert_int_equal(ask_socket(guest, 1), 0);
	engine_guest_policy(guest, DELAYING("bind"));
	assert_int_equal(ask_bind(guest, 1, INADDR_LOOPBACK, port), NO_ANSWER);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(answer_to(guest, WIRE_BIND), -EADDRINUSE);
	record = last_record(guest, PVCALLS_OP_BIND);
	assert_int_equal(record->verdict, VERDICT_DENY);
	assert_string_equal(record->decider, "floor");
	assert_string_equal(record->rule, "host-port");
	assert_int_equal(records_of(guest, PVCALLS_OP_BIND), 1);
	assert_int_equal(ask_listen(guest, 1), -EADDRINUSE);
	close(listener);
}

/* A policy that no longer opens the host's address was loaded while a CONNECT to it waited. */
static void test_a_reload_closes_what_waits(void **state)
{
	struct engine_guest *guest = *state;
	uint16_t port = 0;
	int listener = host_listen(&port);

	assert_int_equal(ask_socket(guest, 1), 0);
	engine_guest_policy(guest, DELAYING("connect"));
	assert_int_equal(ask_connect(guest, 1, port, RING(0)), NO_ANSWER);
	engine_guest_policy(guest,
			    "version: 1\nname: shut\nmatch: {name: guest}\ndefault: allow\n");
	assert_int_equal(answer_to(guest, WIRE_CONNECT), -EACCES);
	assert_string_equal(last_record(guest, PVCALLS_OP_CONNECT)->policy, "shut");
	assert_int_equal(ask_release(guest, 1), 0);
	close(listener);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_delayed_call_is_executed_later),
		TEST(test_a_row_is_dated_when_its_call_was_done),
		TEST(test_a_late_denial_is_dated_when_it_fell),
		TEST(test_two_connects_on_one_socket),
		TEST(test_socket_then_release),
		TEST(test_socket_then_everything),
		TEST(test_the_guest_goes_while_calls_wait),
		TEST(test_accept_then_release_of_the_new_socket),
		TEST(test_accept_then_socket_of_the_new_name),
		TEST(test_accept_then_release_of_its_listener),
		TEST(test_bind_then_listen),
		TEST(test_second_release),
		TEST(test_the_guest_goes_while_a_release_waits),
		TEST(test_the_host_is_looked_at_again),
		TEST(test_a_reload_closes_what_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
