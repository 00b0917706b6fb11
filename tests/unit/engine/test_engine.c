/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls, streams, records and ends of a guest, against a whole engine with real sockets. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include "engine/connections/polled.h"
#include "engine/lifecycle/attach.h"
#include "guest_calls.h"
#include "policy/compile.h"
#include "policy/policy.h"

#define RING_REF  8u  /* indexes page of the first connection */
#define DATA_REF  16u /* its data pages */
#define DATA(ref) ((uint8_t *)guest_page(guest, ref))

static int setup(void **state)
{
	struct engine_guest *guest = engine_guest_open(OPEN_POLICY, GUEST_SOCKETS);

	engine_guest_attach(guest, true);
	guest_make_ring(guest, RING_REF, 1, DATA_REF);
	*state = guest;
	return 0;
}

static int teardown(void **state)
{
	engine_guest_close(*state);
	return 0;
}

static void test_every_wrong_call_is_answered(void **state)
{
	struct engine_guest *guest = *state;
	struct wire_request unknown = call_request(99, 1);

	assert_int_equal(ask(guest, &unknown), -524);
	assert_int_equal(ask_connect(guest, 1, 80, RING_REF), -EINVAL);
	assert_int_equal(ask_bind(guest, 1, INADDR_LOOPBACK, 0), -EINVAL);
	assert_int_equal(ask_listen(guest, 1), -EINVAL);
	assert_int_equal(ask_accept(guest, 1, 2, RING_REF), -EINVAL);
	assert_int_equal(ask_poll(guest, 1), -EINVAL);
	assert_int_equal(ask_release(guest, 1), 0);
	assert_int_equal(ask_socket(guest, 1), 0);
	assert_int_equal(ask_socket(guest, 1), -EEXIST);
	assert_int_equal(ask_listen(guest, 1), -EINVAL); /* not bound: would be a wildcard */
	assert_int_equal(ask_poll(guest, 1), -EINVAL);
	assert_int_equal(ask_release(guest, 1), 0);
	assert_int_equal(guest->engine->calls.serial, 12);
	assert_int_equal(engine_guest_store(guest), 12);
}

static void test_sockets_are_limited(void **state)
{
	struct engine_guest *guest = *state;
	uint64_t id;

	for (id = 0; id < GUEST_SOCKETS; id++)
		assert_int_equal(ask_socket(guest, id), 0);
	assert_int_equal(ask_socket(guest, id), -EMFILE);
	assert_int_equal(ask_release(guest, 0), 0);
	assert_int_equal(ask_socket(guest, id), 0);
}

/* A connected socket with id 1; returns the host's end. */
static int connected(struct engine_guest *guest)
{
	uint16_t port = 0;
	int listener = host_listen(&port);
	int fd;

	assert_int_equal(ask_socket(guest, 1), 0);
	assert_int_equal(ask_connect(guest, 1, port, RING_REF), 0);
	fd = accept(listener, NULL, NULL);
	close(listener);
	return fd;
}

static void test_exchange(void **state)
{
	struct engine_guest *guest = *state;
	struct indexes_page *page = guest_page(guest, RING_REF);
	const struct audit_record *record;
	char bytes[8];
	int fd = connected(guest);

	assert_int_equal(write(fd, "hello", 5), 5);
	engine_guest_turn(guest);
	assert_int_equal(page->in_prod, 5);
	assert_memory_equal(DATA(DATA_REF), "hello", 5);
	memcpy(DATA(DATA_REF) + DATA_RING_BYTES(1), "bye", 3);
	page->out_prod = 3;
	guest_ring(guest, 1 + RING_REF);
	engine_guest_turn(guest);
	assert_int_equal(read(fd, bytes, sizeof(bytes)), 3);
	assert_memory_equal(bytes, "bye", 3);
	close(fd);
	engine_guest_turn(guest);
	assert_int_equal(page->in_error, -ENOTCONN);
	assert_int_equal(ask_release(guest, 1), 0);
	record = last_record(guest, PVCALLS_OP_RELEASE);
	assert_int_equal(record->bytes_in, 5);
	assert_int_equal(record->bytes_out, 3);
	assert_int_equal(record->close_reason, AUDIT_CLOSE_RELEASED);
	record = last_record(guest, PVCALLS_OP_CONNECT);
	assert_int_equal(record->result, 0);
	assert_int_equal(record->verdict, VERDICT_ALLOW);
	assert_int_equal(record->peer.port, record->requested.port);
}

/* Rings the port of the first connection. */
static void ring_first(struct engine_guest *guest)
{
	guest_ring(guest, 1 + RING_REF);
	engine_guest_turn(guest);
}

static void test_half_close(void **state)
{
	struct engine_guest *guest = *state;
	struct indexes_page *page = guest_page(guest, RING_REF);
	const struct audit_record *record;
	char bytes[8];
	int fd = connected(guest);

	page->out_prod = 3;
	page->out_end = 1;
	ring_first(guest);
	assert_int_equal(recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT), 3);
	assert_int_equal(recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT), 0);
	assert_int_equal(write(fd, "hello", 5), 5);
	close(fd);
	engine_guest_turn(guest);
	assert_int_equal(page->in_prod, 5);
	assert_int_equal(page->in_error, -ENOTCONN);
	assert_int_equal(page->out_error, 0);
	assert_int_equal(ask_release(guest, 1), 0);
	record = last_record(guest, PVCALLS_OP_RELEASE);
	assert_int_equal(record->bytes_in, 5);
	assert_int_equal(record->bytes_out, 3);
	assert_int_equal(record->close_reason, AUDIT_CLOSE_RELEASED);
}

/* A connection that is looked at without an event shows its end without one, too. */
static void test_half_close_of_a_warm_connection(void **state)
{
	struct engine_guest *guest = *state;
	struct indexes_page *page = guest_page(guest, RING_REF);
	char byte;
	int fd = connected(guest);

	page->out_prod = 1;
	ring_first(guest);
	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 1);
	assert_int_equal(guest->engine->connections.polled_count, 1);
	page->out_end = 1;
	assert_true(polled_have_work(&guest->engine->connections));
	engine_guest_turn(guest);
	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 0);
	assert_false(polled_have_work(&guest->engine->connections));
	close(fd);
}

/* The end was said before the guest was told that it is connected. */
static void test_half_close_before_the_answer(void **state)
{
	struct engine_guest *guest = *state;
	struct indexes_page *page = guest_page(guest, RING_REF);
	char byte;
	int fd;

	page->out_end = 1;
	fd = connected(guest);
	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 0);
	close(fd);
}

/* Pages that stay mapped say nothing of the connection before. */
static void test_half_close_is_over_with_its_connection(void **state)
{
	struct engine_guest *guest = *state;
	struct indexes_page *page = guest_page(guest, RING_REF);
	struct wire_request release = call_request(WIRE_RELEASE, 1);
	char byte;
	int fd = connected(guest);

	page->out_end = 1;
	ring_first(guest);
	release.u.release.reuse = 1;
	assert_int_equal(ask(guest, &release), 0);
	assert_int_equal(guest->engine->connections.mapping_cache.count, 1);
	close(fd);
	guest_make_ring(guest, RING_REF, 1, DATA_REF);
	fd = connected(guest);
	assert_int_equal(guest->engine->connections.mapping_cache.count, 0);
	ring_first(guest);
	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	page->out_prod = 1;
	ring_first(guest);
	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 1);
	close(fd);
}

static void test_half_close_is_not_negotiated(void **state)
{
	struct engine_guest *guest = *state;
	struct indexes_page *page;
	char byte;
	int fd;

	engine_detach(guest->engine, AUDIT_CLOSE_OPERATOR);
	engine_guest_attach(guest, false);
	page = guest_make_ring(guest, RING_REF, 1, DATA_REF);
	fd = connected(guest);
	page->out_end = 1;
	ring_first(guest);
	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	close(fd);
}

static void test_reset_reaches_both_directions(void **state)
{
	struct engine_guest *guest = *state;
	struct indexes_page *page = guest_page(guest, RING_REF);
	int fd = connected(guest);

	socket_reset(fd);
	engine_guest_turn(guest);
	assert_int_equal(page->in_error, -ECONNRESET);
	assert_int_equal(page->out_error, -ECONNRESET);
}

static void test_refused_connect_may_be_tried_again(void **state)
{
	struct engine_guest *guest = *state;
	uint16_t port = 0;
	int listener = host_listen(&port);

	close(listener);
	assert_int_equal(ask_socket(guest, 1), 0);
	assert_int_equal(ask_connect(guest, 1, port, RING_REF), -ECONNREFUSED);
	listener = host_listen(&port);
	assert_int_equal(ask_connect(guest, 1, port, RING_REF), 0);
	assert_int_equal(ask_connect(guest, 1, port, RING_REF), -EISCONN);
	close(listener);
}

/* The record of its release names no peer that it never had, nor an address that it has lost. */
static void test_a_refused_connect_leaves_no_addresses(void **state)
{
	struct engine_guest *guest = *state;
	const struct audit_record *record;
	uint16_t port = 0;

	close(host_listen(&port));
	assert_int_equal(ask_socket(guest, 1), 0);
	assert_int_equal(ask_bind(guest, 1, INADDR_LOOPBACK, 0), 0);
	assert_int_equal(ask_connect(guest, 1, port, RING_REF), -ECONNREFUSED);
	assert_int_equal(ask_release(guest, 1), 0);
	record = last_record(guest, PVCALLS_OP_RELEASE);
	assert_int_equal(record->peer.family, 0);
	assert_int_equal(record->local.family, 0);
}

static void test_bad_rings_are_refused_without_a_trace(void **state)
{
	struct engine_guest *guest = *state;
	struct indexes_page *page = guest_page(guest, RING_REF);
	struct wire_request request;
	uint16_t port = 0;
	int listener = host_listen(&port);
	uint32_t order;

	assert_int_equal(ask_socket(guest, 1), 0);
	for (order = 0; order < 20; order++) {
		page->ring_order = order == 1 ? 10 : order;
		if (order < 1 || order > 4)
			assert_int_equal(ask_connect(guest, 1, port, RING_REF), -EINVAL);
	}
	page->ring_order = 1;
	page->ref[1] = page->ref[0];
	assert_int_equal(ask_connect(guest, 1, port, RING_REF), -EINVAL);
	page->ref[1] = GUEST_PAGES;
	assert_int_equal(ask_connect(guest, 1, port, RING_REF), -EINVAL);
	assert_int_equal(ask_connect(guest, 1, port, UINT32_MAX), -EINVAL);
	guest_make_ring(guest, RING_REF, 1, DATA_REF);
	request = connect_request(1, port, RING_REF);
	request.u.connect.evtchn = GUEST_COMMAND_PORT; /* bound already */
	assert_int_equal(ask(guest, &request), -EEXIST);
	request.u.connect.evtchn = 0;
	assert_int_equal(ask(guest, &request), -EINVAL);
	assert_int_equal(ask_connect(guest, 1, port, RING_REF), 0);
	close(listener);
}

static void test_refused_bind_is_answered_at_listen(void **state)
{
	struct engine_guest *guest = *state;

	assert_int_equal(ask_socket(guest, 1), 0);
	assert_int_equal(ask_bind(guest, 1, INADDR_ANY, 80), -EACCES);
	assert_int_equal(ask_listen(guest, 1), -EACCES);
	assert_int_equal(ask_accept(guest, 1, 2, RING_REF), -EINVAL);
	assert_string_equal(last_record(guest, PVCALLS_OP_BIND)->decider, "floor");
}

/* Reads everything until the end; returns the number of bytes. */
static size_t read_all(struct engine_guest *guest, int fd)
{
	char bytes[65536];
	size_t total = 0;
	ssize_t got;

	while ((got = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) != 0) {
		if (got > 0)
			total += (size_t)got;
		else if (errno != EAGAIN)
			break;
		loop_turn(guest->engine->loop, 0);
	}
	return total;
}

/* The peer reads only after RELEASE was answered: everything that was written still arrives. */
static void release_delivers_what_was_written(struct engine_guest *guest, uint32_t end)
{
	struct indexes_page *page;
	size_t total = 0;
	int fd;

	page = guest_make_ring(guest, RING_REF, 6, DATA_REF);
	fd = connected(guest);
	while (page->out_prod - page->out_cons < DATA_RING_BYTES(6)) {
		total += DATA_RING_BYTES(6) - (page->out_prod - page->out_cons);
		page->out_prod = page->out_cons + DATA_RING_BYTES(6);
		guest_ring(guest, 1 + RING_REF);
		engine_guest_turn(guest);
	}
	page->out_end = end;
	assert_int_equal(ask_release(guest, 1), 0);
	assert_true(lingering_bytes(guest->engine->calls.lingering) > 0);
	memset(DATA(DATA_REF), 0xff, RING_PAGE_SIZE); /* the guest's again */
	assert_int_equal(read_all(guest, fd), total);
	assert_int_equal(last_record(guest, PVCALLS_OP_RELEASE)->bytes_out, total);
	assert_int_equal(lingering_bytes(guest->engine->calls.lingering), 0);
	close(fd);
}

static void test_release_delivers_what_was_written(void **state)
{
	release_delivers_what_was_written(*state, 0);
}

static void test_release_after_half_close(void **state)
{
	release_delivers_what_was_written(*state, 1);
}

static void test_same_req_id_twice(void **state)
{
	struct engine_guest *guest = *state;
	struct wire_request first = call_request(WIRE_POLL, 1);
	struct wire_request second = call_request(WIRE_RELEASE, 2);
	struct wire_response response;

	first.req_id = second.req_id = 0xdeadbeef;
	guest_push(guest, &first);
	guest_push(guest, &second);
	engine_guest_turn(guest);
	assert_true(guest_collect(guest, &response));
	assert_int_equal(response.req_id, 0xdeadbeef);
	assert_int_equal(response.cmd, WIRE_POLL);
	assert_true(guest_collect(guest, &response));
	assert_int_equal(response.cmd, WIRE_RELEASE);
	assert_false(guest_collect(guest, &response));
}

static void test_sync_answers_wait_for_the_commit(void **state)
{
	struct engine_guest *guest = *state;
	struct wire_response response;

	guest->engine->calls.sync = 1;
	assert_int_equal(ask_socket(guest, 1), NO_ANSWER);
	engine_guest_turn(guest);
	assert_false(guest_collect(guest, &response));
	assert_int_equal(engine_guest_store(guest), 1);
	engine_guest_turn(guest);
	assert_true(guest_collect(guest, &response));
	assert_int_equal(response.ret, 0);
}

/* The writer rings at the first commit after it was asked to; the second call waits for the next.
 */
static void test_sync_answers_are_woken_for_by_each_commit(void **state)
{
	struct engine_guest *guest = *state;
	struct wire_response response;
	struct audit_record record;
	eventfd_t rings;

	guest->engine->calls.sync = 1;
	assert_int_equal(ask_socket(guest, 1), NO_ANSWER);
	assert_int_equal(ask_socket(guest, 2), NO_ANSWER);
	assert_true(drain_take(guest->drain, &record));
	drain_committed(guest->drain);
	engine_guest_turn(guest);
	assert_true(guest_collect(guest, &response));
	assert_int_equal(response.id, 1);
	(void)eventfd_read(guest->engine->queue_event, &rings);
	assert_true(drain_take(guest->drain, &record));
	drain_committed(guest->drain);
	assert_int_equal(eventfd_read(guest->engine->queue_event, &rings), 0);
	engine_guest_turn(guest);
	assert_true(guest_collect(guest, &response));
	assert_int_equal(response.id, 2);
}

static void test_full_trail_stops_the_ring(void **state)
{
	struct engine_guest *guest = *state;
	struct audit_queue *queue = guest->engine->calls.queue;
	struct wire_response response;
	eventfd_t wakes;
	uint32_t slot;
	uint32_t taken = 0;

	while (audit_queue_take(queue, &slot)) {
		audit_queue_decided(queue, slot);
		audit_queue_done(queue, slot);
		taken++;
	}
	assert_int_equal(taken, AUDIT_QUEUE_SLOTS);
	assert_int_equal(ask_socket(guest, 1), NO_ANSWER);
	assert_int_equal(socket_table_count(guest->engine->calls.sockets), 0);
	assert_int_equal(guest->engine->calls.ring.req_cons, 0);
	(void)eventfd_read(guest->engine->queue_event, &wakes);
	assert_false(engine_turn(guest->engine)); /* so it sleeps until the writer wakes it */
	engine_guest_store(guest);
	assert_int_equal(eventfd_read(guest->engine->queue_event, &wakes), 0);
	engine_guest_turn(guest);
	assert_true(guest_collect(guest, &response));
	assert_int_equal(response.ret, 0);
}

/* What the supervisor was told; the kind of the last message, or 0. */
static uint32_t told(struct engine_guest *guest)
{
	struct engine_message message;
	uint32_t kind = 0;

	while (recv(guest->supervisor, &message, sizeof(message), MSG_DONTWAIT) > 0)
		kind = message.kind;
	return kind;
}

static void test_impossible_index_cuts_off(void **state)
{
	struct engine_guest *guest = *state;
	struct indexes_page *page = guest_page(guest, RING_REF);
	char byte;
	int fd = connected(guest);

	assert_int_equal(ask_socket(guest, 2), 0);
	page->out_prod = DATA_RING_BYTES(1) + 1;
	guest_ring(guest, 1 + RING_REF);
	engine_guest_turn(guest);
	assert_false(guest->engine->calls.attached);
	assert_int_equal(told(guest), ENGINE_MESSAGE_BROKEN);
	assert_int_equal(recv(fd, &byte, 1, 0), 0);
	assert_int_equal(last_record(guest, PVCALLS_OP_RELEASE)->close_reason, AUDIT_CLOSE_CUT_OFF);
	assert_int_equal(engine_guest_store(guest), 0);
	assert_int_equal(guest->record_count, 5); /* 2 sockets, connect, 2 releases */
	close(fd);
}

static void test_impossible_producer_cuts_off(void **state)
{
	struct engine_guest *guest = *state;

	guest_command_page(guest)->req_prod = COMMAND_SLOTS + 1;
	guest_ring(guest, GUEST_COMMAND_PORT);
	engine_guest_turn(guest);
	assert_false(guest->engine->calls.attached);
	assert_int_equal(told(guest), ENGINE_MESSAGE_BROKEN);
}

static void test_detach_records_every_socket(void **state)
{
	struct engine_guest *guest = *state;
	int fd = connected(guest);

	assert_int_equal(ask_socket(guest, 2), 0);
	engine_detach(guest->engine, AUDIT_CLOSE_OPERATOR);
	assert_int_equal(engine_guest_store(guest), 5);
	assert_int_equal(last_record(guest, PVCALLS_OP_RELEASE)->close_reason,
			 AUDIT_CLOSE_OPERATOR);
	engine_guest_attach(guest, false);
	assert_int_equal(ask_socket(guest, 1), 0);
	close(fd);
}

/* A guest that may do nothing: deny all, as for one that no policy is for. */
static void test_no_policy_denies(void **state)
{
	struct engine_guest *guest = *state;

	policy_free(guest->engine->calls.policy);
	guest->engine->calls.policy = NULL;
	assert_int_equal(policy_deny_all(&guest->engine->calls.policy, guest->engine->host,
					 &guest->engine->guest, &guest->engine->log),
			 0);
	assert_int_equal(ask_socket(guest, 1), -EACCES);
	assert_int_equal(socket_table_count(guest->engine->calls.sockets), 0);
	assert_int_equal(last_record(guest, PVCALLS_OP_SOCKET)->verdict, VERDICT_DENY);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_every_wrong_call_is_answered),
		TEST(test_sockets_are_limited),
		TEST(test_exchange),
		TEST(test_half_close),
		TEST(test_half_close_of_a_warm_connection),
		TEST(test_half_close_before_the_answer),
		TEST(test_half_close_is_over_with_its_connection),
		TEST(test_half_close_is_not_negotiated),
		TEST(test_reset_reaches_both_directions),
		TEST(test_refused_connect_may_be_tried_again),
		TEST(test_a_refused_connect_leaves_no_addresses),
		TEST(test_bad_rings_are_refused_without_a_trace),
		TEST(test_refused_bind_is_answered_at_listen),
		TEST(test_release_delivers_what_was_written),
		TEST(test_release_after_half_close),
		TEST(test_same_req_id_twice),
		TEST(test_sync_answers_wait_for_the_commit),
		TEST(test_sync_answers_are_woken_for_by_each_commit),
		TEST(test_full_trail_stops_the_ring),
		TEST(test_impossible_index_cuts_off),
		TEST(test_impossible_producer_cuts_off),
		TEST(test_detach_records_every_socket),
		TEST(test_no_policy_denies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
