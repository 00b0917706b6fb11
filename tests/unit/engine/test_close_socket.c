/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sockets that the operator kills. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"

#include "engine/calls/close_socket.h"
#include "engine/calls/serve.h"
#include "engine/lifecycle/attach.h"
#include "guest_calls.h"

#define RING 8u  /* indexes page of the connection */
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

static struct calls *calls_of_guest(struct engine_guest *guest)
{
	return &guest->engine->calls;
}

/* Kills the socket of this name. Returns whether a record of that is still to be written. */
static bool kill_named(struct engine_guest *guest, uint64_t id, struct closed_socket *closed)
{
	struct guest_socket *socket = socket_table_find(calls_of_guest(guest)->sockets, id);

	assert_non_null(socket);
	return close_socket(calls_of_guest(guest), socket, AUDIT_CLOSE_OPERATOR, closed);
}

/* Uses all slots of the trail's queue up with records that the writer has not stored. */
static void fill_trail(struct engine_guest *guest)
{
	struct audit_queue *queue = calls_of_guest(guest)->queue;
	uint32_t slot;

	while (audit_queue_take(queue, &slot)) {
		audit_queue_decided(queue, slot);
		audit_queue_done(queue, slot);
	}
}

/* A killed socket's record collects all that was stored; what stood still meanwhile goes on. */
static void test_starved_calls_go_on_after_a_kill(void **state)
{
	struct engine_guest *guest = *state;
	struct closed_socket closed;
	struct wire_response response;

	assert_int_equal(ask_socket(guest, 1), 0);
	fill_trail(guest);
	assert_int_equal(ask_socket(guest, 2), NO_ANSWER);
	assert_true(calls_of_guest(guest)->starved);
	engine_guest_store(guest);
	assert_true(kill_named(guest, 1, &closed));
	closed_sockets_record(calls_of_guest(guest), &closed, 1);
	/* The writer stores no more, but there is room for 8,191 records. */
	engine_guest_turn(guest);
	assert_true(guest_collect(guest, &response));
	assert_int_equal(response.ret, 0);
}

/* The peer sees it before anything else is done, a record above all; events of it never come. */
static void test_the_descriptor_is_closed_at_once(void **state)
{
	struct engine_guest *guest = *state;
	struct indexes_page *page = guest_page(guest, RING);
	struct closed_socket closed;
	uint16_t port = 0;
	int listener = host_listen(&port);
	char byte;
	int peer;

	assert_int_equal(ask_socket(guest, 1), 0);
	assert_int_equal(ask_connect(guest, 1, port, RING), 0);
	peer = accept(listener, NULL, NULL);
	assert_true(kill_named(guest, 1, &closed));
	assert_int_equal(recv(peer, &byte, 1, MSG_DONTWAIT), 0);
	assert_int_equal(page->in_error, -ECONNRESET);
	assert_int_equal(loop_turn(guest->engine->loop, 0), 0);
	closed_sockets_record(calls_of_guest(guest), &closed, 1);
	assert_int_equal(last_record(guest, PVCALLS_OP_RELEASE)->close_reason,
			 AUDIT_CLOSE_OPERATOR);
	assert_int_equal(ask_release(guest, 1), 0);
	close(peer);
	close(listener);
}

static uint32_t releases(struct engine_guest *guest)
{
	uint32_t count = 0;
	uint32_t i;

	engine_guest_store(guest);
	assert_true(guest->record_count <= GUEST_RECORDS);
	for (i = 0; i < guest->record_count; i++)
		count += guest->records[i].op == PVCALLS_OP_RELEASE;
	return count;
}

/* The guest, who is told through its ring, releases it as any other: its end was recorded before.
 */
static void test_a_killed_socket_has_one_release(void **state)
{
	struct engine_guest *guest = *state;
	struct calls *calls = calls_of_guest(guest);
	struct closed_socket closed;
	uint64_t serial;

	assert_int_equal(ask_socket(guest, 1), 0);
	assert_true(kill_named(guest, 1, &closed));
	closed_sockets_record(calls, &closed, 1);
	assert_int_equal(releases(guest), 1);
	serial = calls->serial;
	assert_int_equal(ask_socket(guest, 1), -EEXIST);
	assert_int_equal(ask_listen(guest, 1), -EINVAL);
	assert_int_equal(ask_connect(guest, 1, 80, RING), -EINVAL);
	assert_int_equal(calls->serial, serial + 3);
	assert_int_equal(ask_release(guest, 1), 0);
	assert_int_equal(calls->serial, serial + 3);
	assert_int_equal(releases(guest), 1);
	assert_int_equal(last_record(guest, PVCALLS_OP_RELEASE)->close_reason,
			 AUDIT_CLOSE_OPERATOR);
	serve_reap(calls);
	assert_int_equal(audit_queue_used(calls->queue), 0);
	/* Its name is free now, and to release what is not there is a call as it was. */
	assert_int_equal(ask_socket(guest, 1), 0);
	assert_int_equal(ask_release(guest, 1), 0);
	assert_int_equal(ask_release(guest, 1), 0);
	assert_int_equal(releases(guest), 3);
	assert_int_equal(last_record(guest, PVCALLS_OP_RELEASE)->close_reason, AUDIT_CLOSE_NONE);
	assert_int_equal(last_record(guest, PVCALLS_OP_RELEASE)->socket, 0);
}

/* A guest that goes without having released it. */
static void test_a_killed_socket_ends_with_its_guest(void **state)
{
	struct engine_guest *guest = *state;
	struct closed_socket closed;

	assert_int_equal(ask_socket(guest, 1), 0);
	assert_true(kill_named(guest, 1, &closed));
	closed_sockets_record(calls_of_guest(guest), &closed, 1);
	engine_detach(guest->engine, AUDIT_CLOSE_GUEST_GONE);
	assert_int_equal(socket_table_count(calls_of_guest(guest)->sockets), 0);
	assert_int_equal(releases(guest), 1);
}

/* A listener that is killed while its guest waits for a peer and the trail takes nothing. */
static void kill_on_full_trail(struct engine_guest *guest, bool sync)
{
	struct calls *calls = calls_of_guest(guest);
	struct closed_socket closed;
	struct wire_response response;
	uint64_t killed_ns;

	assert_int_equal(ask_socket(guest, 1), 0);
	assert_int_equal(ask_bind(guest, 1, INADDR_LOOPBACK, 0), 0);
	assert_int_equal(ask_listen(guest, 1), 0);
	assert_int_equal(ask_accept(guest, 1, 2, RING), NO_ANSWER);
	calls->sync = sync;
	fill_trail(guest);
	assert_true(kill_named(guest, 1, &closed));
	closed_sockets_record(calls, &closed, 1);
	killed_ns = clock_wall_ns();
	assert_int_equal(audit_queue_kept(calls->queue), 1);
	engine_guest_turn(guest);
	assert_int_equal(guest_collect(guest, &response), !sync);
	engine_guest_store(guest);
	assert_int_equal(last_record(guest, PVCALLS_OP_ACCEPT)->cancelled, 1);
	guest->record_count = 0;
	engine_guest_turn(guest);
	if (sync)
		assert_true(guest_collect(guest, &response));
	assert_int_equal(response.cmd, WIRE_ACCEPT);
	assert_int_equal(response.ret, -ECANCELED);
	assert_false(guest_collect(guest, &response));
	assert_int_equal(audit_queue_kept(calls->queue), 0);
	assert_int_equal(releases(guest), 1);
	assert_int_equal(last_record(guest, PVCALLS_OP_RELEASE)->close_reason,
			 AUDIT_CLOSE_OPERATOR);
	assert_true(last_record(guest, PVCALLS_OP_RELEASE)->wall_ns <= killed_ns);
}

static void test_a_kill_answers_accepts_on_a_full_trail(void **state)
{
	kill_on_full_trail(*state, false);
}

static void test_a_kill_answers_accepts_on_a_full_trail_sync(void **state)
{
	kill_on_full_trail(*state, true);
}

/* What a call that waited becomes after that is told after that, however long the trail takes. */
static void test_what_follows_a_kill_is_recorded_after_it(void **state)
{
	struct engine_guest *guest = *state;
	struct calls *calls = calls_of_guest(guest);
	const struct audit_record *record;
	struct closed_socket closed;
	struct wire_response response;
	int peer;

	assert_int_equal(ask_socket(guest, 1), 0);
	assert_int_equal(ask_socket(guest, 2), 0);
	assert_int_equal(ask_bind(guest, 2, INADDR_LOOPBACK, 0), 0);
	assert_int_equal(ask_listen(guest, 2), 0);
	assert_int_equal(ask_poll(guest, 2), NO_ANSWER);
	fill_trail(guest);
	assert_true(kill_named(guest, 1, &closed));
	closed_sockets_record(calls, &closed, 1);
	peer = host_connect(socket_table_find(calls->sockets, 2)->local.port, 1);
	engine_guest_turn(guest);
	assert_true(guest_collect(guest, &response));
	assert_int_equal(response.cmd, WIRE_POLL);
	assert_int_equal(engine_guest_store(guest), AUDIT_QUEUE_SLOTS - 1);
	guest->record_count = 0;
	engine_guest_turn(guest);
	assert_int_equal(engine_guest_store(guest), 2);
	record = guest->records;
	assert_int_equal(record[0].op, PVCALLS_OP_RELEASE);
	assert_int_equal(record[1].op, PVCALLS_OP_POLL);
	assert_true(record[0].wall_ns <= record[1].wall_ns);
	close(peer);
}

/* More sockets than slots, and a writer that takes nothing: the engine lives on for their records.
 */
static void test_a_guest_that_goes_while_the_trail_is_full(void **state)
{
	struct engine_guest *guest = *state;
	uint64_t name;

	for (name = 1; name <= 5; name++)
		assert_int_equal(ask_socket(guest, name), 0);
	fill_trail(guest);
	engine_detach(guest->engine, AUDIT_CLOSE_GUEST_GONE);
	assert_int_equal(audit_queue_kept(calls_of_guest(guest)->queue), 5);
	assert_true(engine_lingers(guest->engine));
	engine_guest_turn(guest);
	assert_true(engine_lingers(guest->engine));
	engine_guest_store(guest);
	guest->record_count = 0;
	engine_guest_turn(guest);
	assert_false(engine_lingers(guest->engine));
	assert_int_equal(releases(guest), 5);
	assert_int_equal(last_record(guest, PVCALLS_OP_RELEASE)->close_reason,
			 AUDIT_CLOSE_GUEST_GONE);
}

/* A name that is only promised is the ACCEPT's, which is answered and recorded. */
static void test_a_reserved_socket_goes_with_its_accept(void **state)
{
	struct engine_guest *guest = *state;
	const struct audit_record *record;
	struct closed_socket closed;
	struct wire_response response;

	assert_int_equal(ask_socket(guest, 1), 0);
	assert_int_equal(ask_bind(guest, 1, INADDR_LOOPBACK, 0), 0);
	assert_int_equal(ask_listen(guest, 1), 0);
	assert_int_equal(ask_accept(guest, 1, 2, RING), NO_ANSWER);
	assert_false(kill_named(guest, 2, &closed));
	engine_guest_turn(guest);
	assert_true(guest_collect(guest, &response));
	assert_int_equal(response.cmd, WIRE_ACCEPT);
	assert_int_equal(response.ret, -ECANCELED);
	assert_null(socket_table_find(calls_of_guest(guest)->sockets, 2));
	record = last_record(guest, PVCALLS_OP_ACCEPT);
	assert_int_equal(record->result, -ECANCELED);
	assert_int_equal(record->verdict, VERDICT_NONE);
	assert_int_equal(record->cancelled, 1);
	assert_string_equal(record->reason, "its socket was killed");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_the_descriptor_is_closed_at_once),
		TEST(test_a_reserved_socket_goes_with_its_accept),
		TEST(test_a_killed_socket_has_one_release),
		TEST(test_a_killed_socket_ends_with_its_guest),
		TEST(test_a_kill_answers_accepts_on_a_full_trail),
		TEST(test_a_kill_answers_accepts_on_a_full_trail_sync),
		TEST(test_what_follows_a_kill_is_recorded_after_it),
		TEST(test_a_guest_that_goes_while_the_trail_is_full),
		TEST(test_starved_calls_go_on_after_a_kill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
