/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calls that wait give their slots back: none of them is lost or told twice, and others go on. Most
 * are POLLs, which need no pages.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "engine/calls/parking.h"
#include "engine/lifecycle/attach.h"
#include "engine/scheduling/slots_watch.h"
#include "engine_invariants.h"
#include "guest_calls.h"
#include "ipc/engine_message.h"

/* Waits longer than any test. */
#define SLOW_CONNECTS \
	OPEN_POLICY   \
	"chain:\n"    \
	"  - {plugin: random-verdict, seed: 1, on: [connect], verdicts: [delay], delay: 30s}\n"

#define LISTENER 1
#define MANY     300u

static int open_guest(void **state, bool extensions)
{
	struct engine_guest *guest = engine_guest_open(OPEN_POLICY, 2048);

	engine_guest_attach(guest, extensions);
	*state = guest;
	return 0;
}

static int setup(void **state)
{
	return open_guest(state, true);
}

static int setup_linux(void **state)
{
	return open_guest(state, false);
}

static int teardown(void **state)
{
	engine_guest_close(*state);
	return 0;
}

/* A listening socket of the guest on loopback; returns its port. */
static uint16_t listening(struct engine_guest *guest)
{
	assert_int_equal(ask_socket(guest, LISTENER), 0);
	assert_int_equal(ask_bind(guest, LISTENER, INADDR_LOOPBACK, 0), 0);
	assert_int_equal(ask_listen(guest, LISTENER), 0);
	return socket_table_find(guest->engine->calls.sockets, LISTENER)->local.port;
}

/* The next answer, or NULL if the engine has none. */
static const struct wire_response *next_answer(struct engine_guest *guest)
{
	static struct wire_response response;
	int turns;

	/* A COLLECT that the last look has sent is to be served, too. */
	for (turns = 0; turns < 3; turns++) {
		engine_guest_turn(guest);
		engine_guest_store(guest);
		engine_invariants_check(guest->engine, 0);
		if (guest_collect(guest, &response))
			return &response;
	}
	return NULL;
}

/* POLLs with req_id 100 and on; as many as the ring has slots for at a time. */
static void poll_many(struct engine_guest *guest, uint32_t count)
{
	struct wire_request request = call_request(WIRE_POLL, LISTENER);
	uint32_t i;

	for (i = 0; i < count; i++) {
		request.req_id = 100 + i;
		assert_true(guest->req_prod - guest->rsp_cons < COMMAND_SLOTS);
		guest_push(guest, &request);
		if (guest->req_prod - guest->rsp_cons == COMMAND_SLOTS)
			assert_null(next_answer(guest));
	}
	assert_null(next_answer(guest));
}

/* Each of the POLLs is answered so, once; whatever else is answered is left out. */
static void assert_polls_answered(struct engine_guest *guest, uint32_t count, int result)
{
	bool answered[PARKED_MAX] = {false};
	const struct wire_response *response;
	uint32_t polls = 0;

	while (polls < count && (response = next_answer(guest))) {
		if (response->cmd != WIRE_POLL)
			continue;
		assert_int_equal(response->ret, result);
		assert_true(response->req_id >= 100 && response->req_id < 100 + count);
		assert_false(answered[response->req_id - 100]);
		answered[response->req_id - 100] = true;
		polls++;
	}
	assert_int_equal(polls, count);
	assert_null(next_answer(guest));
	assert_int_equal(guest->engine->calls.table.parked, 0);
}

static void test_calls_that_wait_leave_the_ring(void **state)
{
	struct engine_guest *guest = *state;
	uint16_t port = listening(guest);
	int fd;

	poll_many(guest, MANY);
	assert_true(guest->parked_count >= MANY - PARKING_SLOTS_MAX);
	assert_int_equal(ask_socket(guest, 2), 0);
	assert_int_equal(ask_release(guest, 2), 0);
	fd = host_connect(port, 1);
	assert_polls_answered(guest, MANY, 0);
	close(fd);
}

/* What few calls cost is what it was. */
static void test_few_calls_stay(void **state)
{
	struct engine_guest *guest = *state;

	listening(guest);
	poll_many(guest, PARKING_SLOTS_MAX);
	assert_int_equal(guest->parked_ever, 0);
	poll_many(guest, 1);
	assert_int_equal(guest->parked_ever, PARKING_SLOTS_MAX + 1 - PARKING_SLOTS_LEFT);
}

static void test_linux_frontends_keep_their_slots(void **state)
{
	struct engine_guest *guest = *state;
	struct wire_request collect = {.cmd = WIRE_COLLECT, .req_id = 7};
	const struct wire_response *response;

	listening(guest);
	guest_push(guest, &collect);
	response = next_answer(guest);
	assert_non_null(response);
	assert_int_equal(response->ret, -524);
	poll_many(guest, COMMAND_SLOTS);
	assert_int_equal(guest->engine->calls.ring.req_cons - guest->engine->calls.ring.rsp_prod,
			 COMMAND_SLOTS);
	assert_int_equal(guest->engine->calls.table.parked, 0);
}

static void test_a_released_listener_ends_parked_calls(void **state)
{
	struct engine_guest *guest = *state;
	struct wire_request release = call_request(WIRE_RELEASE, LISTENER);
	struct wire_request accept = call_request(WIRE_ACCEPT, LISTENER);
	const struct wire_response *response;
	uint32_t ended = 0;
	uint32_t i;

	listening(guest);
	for (i = 0; i < MANY; i++) {
		accept.u.accept.id_new = 1000 + i;
		guest_push(guest, &accept);
		assert_null(next_answer(guest));
	}
	assert_true(guest->parked_count > 0);
	guest_push(guest, &release);
	while ((response = next_answer(guest))) {
		assert_int_equal(response->ret, response->cmd == WIRE_ACCEPT ? -ECANCELED : 0);
		ended++;
	}
	assert_int_equal(ended, MANY + 1);
	assert_int_equal(socket_table_count(guest->engine->calls.sockets), 0);
}

/* An outcome without a COLLECT waits for one, and keeps nothing else waiting. */
static void test_outcomes_wait_to_be_collected(void **state)
{
	struct engine_guest *guest = *state;
	uint16_t port = listening(guest);
	int fd;

	guest->keeps_no_collects = true;
	poll_many(guest, MANY);
	fd = host_connect(port, 1);
	while (next_answer(guest))
		;
	assert_int_equal(guest->engine->calls.table.parked, guest->parked_count);
	assert_true(guest->parked_count > 0);
	assert_int_equal(ask_socket(guest, 2), 0);
	guest->keeps_no_collects = false;
	assert_int_equal(ask_release(guest, 2), 0);
	while (next_answer(guest))
		;
	assert_int_equal(guest->engine->calls.table.parked, 0);
	close(fd);
}

/* With durability: sync the outcome of a parked call waits for its record's commit as well. */
static void test_outcomes_wait_for_their_commit(void **state)
{
	struct engine_guest *guest = *state;
	uint16_t port = listening(guest);
	struct wire_response response;
	int fd;

	poll_many(guest, MANY);
	guest->engine->calls.sync = true;
	fd = host_connect(port, 1);
	engine_guest_turn(guest);
	assert_false(guest_collect(guest, &response));
	engine_guest_turn(guest);
	assert_false(guest_collect(guest, &response));
	assert_polls_answered(guest, MANY, 0);
	close(fd);
}

/* As many as there are numbers; then the ring is full, and stays so until one ends. */
static void test_no_more_than_there_are_numbers(void **state)
{
	struct engine_guest *guest = *state;
	struct wire_request request = call_request(WIRE_POLL, LISTENER);
	uint16_t port = listening(guest);
	uint32_t count = 0;
	int fd;

	request.req_id = 100;
	while (guest->req_prod - guest->rsp_cons < COMMAND_SLOTS) {
		guest_push(guest, &request);
		request.req_id++;
		if (guest->req_prod - guest->rsp_cons == COMMAND_SLOTS)
			assert_null(next_answer(guest));
		assert_true(++count <= PARKED_MAX);
	}
	assert_int_equal(guest->parked_count, PARKED_MAX - COMMAND_SLOTS);
	fd = host_connect(port, 1);
	assert_polls_answered(guest, count, 0);
	assert_int_equal(ask_socket(guest, 2), 0);
	close(fd);
}

/* A listener of the host whose backlog is full: who connects waits. Returns it; *port is its. */
static int dark_listener(uint16_t *port, int fill[4])
{
	int fd = host_listen(port);
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(*port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int i;

	assert_int_equal(listen(fd, 0), 0);
	for (i = 0; i < 4; i++) {
		fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)connect(fill[i], (struct sockaddr *)&to, sizeof(to));
	}
	return fd;
}

/* What the engine says to the supervisor of full slots. */
static void assert_told_full(struct engine_guest *guest, const char *text)
{
	uint64_t until = clock_monotonic_ns() + 20 * NS_PER_S;
	struct engine_message message;

	memset(&message, 0, sizeof(message));
	while (recv(guest->supervisor, &message, sizeof(message), MSG_DONTWAIT) < 0) {
		assert_true(clock_monotonic_ns() < until);
		loop_turn(guest->engine->loop, 100 * NS_PER_MS);
		engine_guest_turn(guest);
	}
	assert_int_equal(message.kind, ENGINE_MESSAGE_FULL);
	assert_string_equal(message.body.text, text);
}

/* It is told, once, and the oldest connect has less time for as long as that lasts. */
static void test_full_slots_of_a_linux_frontend(void **state)
{
	struct engine_guest *guest = *state;
	const struct pending_call *connect = NULL;
	uint16_t port;
	int fill[4];
	int fd;
	int dark = dark_listener(&port, fill);
	uint16_t ours = listening(guest);
	uint32_t i;

	assert_int_equal(ask_socket(guest, 2), 0);
	guest_make_ring(guest, 8, 1, 24);
	assert_int_equal(ask_connect(guest, 2, port, 8), NO_ANSWER);
	connect = socket_table_find(guest->engine->calls.sockets, 2)->holder;
	assert_true(connect->timer.deadline_ns > connect->call.taken_ns + SLOTS_WATCH_CONNECT_NS);
	poll_many(guest, COMMAND_SLOTS - 1);
	assert_int_equal(connect->timer.deadline_ns,
			 connect->call.taken_ns + SLOTS_WATCH_CONNECT_NS);
	assert_told_full(guest, "1 connect, 31 poll");
	/* The POLLs end, and there is room again. */
	fd = host_connect(ours, 1);
	assert_polls_answered(guest, COMMAND_SLOTS - 1, 0);
	assert_true(connect->timer.deadline_ns > connect->call.taken_ns + SLOTS_WATCH_CONNECT_NS);
	for (i = 0; i < 4; i++)
		close(fill[i]);
	close(dark);
	close(fd);
}

/*
 * The ring is full again and again: that is told once in a minute, and an episode that lasts is
 * told when the minute is over.
 */
static void test_full_slots_are_not_told_too_often(void **state)
{
	struct engine_guest *guest = *state;
	struct slots_watch *watch = &guest->engine->turn.slots_watch;
	uint16_t ours = listening(guest);
	uint64_t told_ns;
	int fd;

	poll_many(guest, COMMAND_SLOTS);
	assert_told_full(guest, "32 poll");
	assert_int_equal(watch->timer.heap_slot, 0);
	told_ns = watch->told_ns;
	fd = host_connect(ours, 1);
	assert_polls_answered(guest, COMMAND_SLOTS, 0);
	guest_make_ring(guest, 8, 1, 24);
	assert_int_equal(ask_accept(guest, LISTENER, 2, 8), 0);
	close(fd);
	/* As if that had been most of a minute ago. */
	watch->told_ns -= SLOTS_WATCH_TELL_NS - 3 * SLOTS_WATCH_FULL_NS;
	poll_many(guest, COMMAND_SLOTS);
	assert_told_full(guest, "32 poll");
	assert_true(watch->told_ns >= told_ns + 3 * SLOTS_WATCH_FULL_NS);
	assert_int_equal(watch->timer.heap_slot, 0);
}

/* COLLECTs of nothing have their slots, as many as there are, and harm nobody but who asked. */
static void test_collects_of_nothing(void **state)
{
	struct engine_guest *guest = *state;
	struct wire_request collect = {.cmd = WIRE_COLLECT};
	uint16_t port = listening(guest);
	uint32_t answered = 0;
	const struct wire_response *response;
	int fd;

	guest->keeps_no_collects = true;
	for (; collect.req_id < COMMAND_SLOTS - 1; collect.req_id++)
		guest_push(guest, &collect);
	assert_null(next_answer(guest));
	/* The call that gets the last slot is parked at once, and its outcome told. */
	guest->collects = collect.req_id;
	poll_many(guest, 1);
	assert_int_equal(guest->parked_count, 1);
	fd = host_connect(port, 1);
	assert_polls_answered(guest, 1, 0);
	close(fd);
	/* All of them, with nothing that could come: told, as other full slots. */
	guest_push(guest, &collect);
	collect.req_id++;
	guest_push(guest, &collect);
	assert_told_full(guest, "32 collect");
	while ((response = next_answer(guest)))
		answered++;
	assert_int_equal(answered, 0);
	assert_int_equal(engine_guest_store(guest), 0);
	/* One more than there are slots is a lie, whatever it asks. */
	guest_push(guest, &collect);
	engine_guest_turn(guest);
	assert_string_not_equal(guest->engine->connections.violation.text, "");
	engine_detach(guest->engine, AUDIT_CLOSE_GUEST_GONE);
	engine_guest_attach(guest, true);
	assert_int_equal(ask_socket(guest, 2), 0);
}

/* A parked connect whose socket is released is answered once, and so is each release. */
static void test_a_released_socket_ends_its_parked_connect(void **state)
{
	struct engine_guest *guest = *state;
	struct wire_request release = call_request(WIRE_RELEASE, 2);
	const struct wire_response *response;
	int results[WIRE_POLL + 1][2] = {0};
	uint32_t ended[WIRE_POLL + 1] = {0};
	uint16_t port;
	int fill[4];
	int dark = dark_listener(&port, fill);
	int i;

	listening(guest);
	assert_int_equal(ask_socket(guest, 2), 0);
	guest_make_ring(guest, 8, 1, 24);
	assert_int_equal(ask_connect(guest, 2, port, 8), NO_ANSWER);
	poll_many(guest, MANY);
	assert_true(socket_table_find(guest->engine->calls.sockets, 2)->holder->is_parked);
	guest_push(guest, &release);
	guest_push(guest, &release);
	while ((response = next_answer(guest))) {
		assert_true(response->cmd == WIRE_CONNECT || response->cmd == WIRE_RELEASE);
		assert_true(ended[response->cmd] < 2);
		results[response->cmd][ended[response->cmd]++] = response->ret;
	}
	assert_int_equal(ended[WIRE_CONNECT], 1);
	assert_int_equal(results[WIRE_CONNECT][0], -ECONNABORTED);
	assert_int_equal(ended[WIRE_RELEASE], 2);
	assert_int_equal(results[WIRE_RELEASE][0], 0);
	assert_int_equal(results[WIRE_RELEASE][1], 0);
	for (i = 0; i < 4; i++)
		close(fill[i]);
	close(dark);
}

/* Who says that it parks and not that it takes answers of released listeners takes them all the
 * same: an ACCEPT that was parked has to have one. */
static void test_parking_implies_answers(void **state)
{
	struct engine_guest *guest = *state;
	const struct engine_attach_args features = {.park = true};
	struct wire_request release = call_request(WIRE_RELEASE, LISTENER);
	struct wire_request accept = call_request(WIRE_ACCEPT, LISTENER);
	const struct wire_response *response;
	uint32_t ended = 0;
	uint32_t i;

	engine_detach(guest->engine, AUDIT_CLOSE_GUEST_GONE);
	engine_guest_attach_with(guest, &features);
	listening(guest);
	for (i = 0; i < COMMAND_SLOTS; i++) {
		accept.u.accept.id_new = 1000 + i;
		guest_push(guest, &accept);
	}
	assert_null(next_answer(guest));
	assert_true(guest->parked_count > 0);
	guest_push(guest, &release);
	while ((response = next_answer(guest)))
		ended += response->ret == (response->cmd == WIRE_ACCEPT ? -ECANCELED : 0);
	assert_int_equal(ended, COMMAND_SLOTS + 1);
}

#define THOUSAND 1000u

static void test_detaching_ends_parked_calls(void **state)
{
	struct engine_guest *guest = *state;

	listening(guest);
	poll_many(guest, THOUSAND);
	assert_true(guest->engine->calls.table.parked > THOUSAND - COMMAND_SLOTS);
	guest->record_count = 0;
	engine_detach(guest->engine, AUDIT_CLOSE_GUEST_GONE);
	/* Each of them, and the end of the listener. */
	assert_int_equal(engine_guest_store(guest), THOUSAND + 1);
	engine_invariants_check_detached(guest->engine);
	engine_guest_attach(guest, true);
	assert_int_equal(ask_socket(guest, 2), 0);
	assert_int_equal(guest->engine->calls.table.parked, 0);
}

/* Calls that hold their sockets end before all sockets do, parked as they are. */
static void test_detaching_ends_parked_connects(void **state)
{
	struct engine_guest *guest = *state;
	struct wire_request request;
	struct audit_record record;
	uint32_t count = 2 * COMMAND_SLOTS;
	uint32_t cancelled = 0;
	uint32_t i;

	for (i = 0; i < count; i++)
		assert_int_equal(ask_socket(guest, 100 + i), 0);
	engine_guest_policy(guest, SLOW_CONNECTS);
	for (i = 0; i < count; i++) {
		request = connect_request(100 + i, 80, 8);
		guest_push(guest, &request);
		if (guest->req_prod - guest->rsp_cons == COMMAND_SLOTS)
			assert_null(next_answer(guest));
	}
	assert_null(next_answer(guest));
	assert_true(guest->engine->calls.table.parked >= count - COMMAND_SLOTS);
	engine_guest_store(guest);
	engine_detach(guest->engine, AUDIT_CLOSE_GUEST_GONE);
	while (drain_take(guest->drain, &record)) {
		if (record.op == PVCALLS_OP_RELEASE)
			continue;
		assert_int_equal(record.op, PVCALLS_OP_CONNECT);
		assert_int_equal(record.cancelled, 1);
		assert_int_equal(record.result, -ECONNABORTED);
		cancelled++;
	}
	drain_committed(guest->drain);
	assert_int_equal(cancelled, count);
	engine_invariants_check_detached(guest->engine);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_calls_that_wait_leave_the_ring),
		TEST(test_few_calls_stay),
		cmocka_unit_test_setup_teardown(test_linux_frontends_keep_their_slots, setup_linux,
						teardown),
		cmocka_unit_test_setup_teardown(test_full_slots_of_a_linux_frontend, setup_linux,
						teardown),
		cmocka_unit_test_setup_teardown(test_full_slots_are_not_told_too_often, setup_linux,
						teardown),
		TEST(test_collects_of_nothing),
		TEST(test_a_released_socket_ends_its_parked_connect),
		TEST(test_parking_implies_answers),
		TEST(test_a_released_listener_ends_parked_calls),
		TEST(test_outcomes_wait_to_be_collected),
		TEST(test_outcomes_wait_for_their_commit),
		TEST(test_no_more_than_there_are_numbers),
		TEST(test_detaching_ends_parked_calls),
		TEST(test_detaching_ends_parked_connects),
	};

	return cmocka_run_group_tests_name("parking", tests, NULL, NULL);
}
