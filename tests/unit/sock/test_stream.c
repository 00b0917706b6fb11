/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A stream between a ring in memory and a real socket pair. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "sock/stream.h"

#define ORDER 1
#define SIZE  DATA_RING_BYTES(ORDER)

struct fixture {
	struct stream stream;
	struct indexes_page *indexes;
	uint8_t *data;
	int far; /* the peer's end */
	int near;
	uint64_t wake;
};

static int open_pair(struct fixture *fixture)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) < 0)
		return -1;
	fixture->near = ends[0];
	fixture->far = ends[1];
	return 0;
}

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));

	fixture->indexes = aligned_alloc(4096, 4096);
	fixture->data = malloc((size_t)SIZE * 2);
	memset(fixture->indexes, 0, 4096);
	if (open_pair(fixture) < 0)
		return -1;
	data_ring_attach(&fixture->stream.ring, fixture->indexes, fixture->data, ORDER);
	stream_start(&fixture->stream, fixture->near, NULL, NULL);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	stream_stop(&fixture->stream);
	close(fixture->near);
	if (fixture->far >= 0)
		close(fixture->far);
	free(fixture->indexes);
	free(fixture->data);
	free(fixture);
	return 0;
}

static int pump(struct fixture *fixture, size_t budget)
{
	return stream_pump(&fixture->stream, budget, 0, &fixture->wake);
}

static void test_bytes_in(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(write(fixture->far, "hello", 5), 5);
	assert_int_equal(pump(fixture, 1000) & STREAM_MOVED, 0); /* epoll said nothing yet */
	stream_event(&fixture->stream, EPOLLIN);
	assert_int_equal(pump(fixture, 1000), STREAM_MOVED | STREAM_NOTIFY);
	assert_int_equal(fixture->indexes->in_prod, 5);
	assert_memory_equal(fixture->data, "hello", 5);
	assert_false(fixture->stream.readable);
	assert_int_equal(fixture->stream.bytes_in, 5);
}

static void test_bytes_out(void **state)
{
	struct fixture *fixture = *state;
	char got[8];

	memcpy(fixture->data + SIZE, "world", 5);
	fixture->indexes->out_prod = 5;
	assert_int_equal(pump(fixture, 1000), STREAM_MOVED);
	assert_int_equal(read(fixture->far, got, sizeof(got)), 5);
	assert_memory_equal(got, "world", 5);
	assert_int_equal(fixture->indexes->out_cons, 5);
}

static void test_budget(void **state)
{
	struct fixture *fixture = *state;

	fixture->indexes->out_prod = 100;
	assert_int_equal(pump(fixture, 60) & STREAM_MORE, STREAM_MORE);
	assert_int_equal(fixture->stream.bytes_out, 60);
	assert_int_equal(pump(fixture, 60) & STREAM_MORE, 0);
	assert_int_equal(fixture->stream.bytes_out, 100);
}

static void test_end_comes_after_the_last_byte(void **state)
{
	struct fixture *fixture = *state;

	assert_int_equal(write(fixture->far, "bye", 3), 3);
	close(fixture->far);
	fixture->far = -1;
	stream_event(&fixture->stream, EPOLLIN | EPOLLRDHUP);
	assert_true(pump(fixture, 1000) & STREAM_NOTIFY);
	assert_int_equal(fixture->indexes->in_prod, 3);
	assert_int_equal(fixture->indexes->in_error, -ENOTCONN);
	assert_int_equal(fixture->indexes->out_error, 0);
}

static void test_end_waits_for_room(void **state)
{
	struct fixture *fixture = *state;
	char bytes[SIZE + 10];

	memset(bytes, 'x', sizeof(bytes));
	assert_int_equal(write(fixture->far, bytes, sizeof(bytes)), sizeof(bytes));
	close(fixture->far);
	fixture->far = -1;
	stream_event(&fixture->stream, EPOLLIN | EPOLLRDHUP | EPOLLHUP);
	pump(fixture, 1 << 20);
	assert_int_equal(fixture->indexes->in_prod, SIZE);
	assert_int_equal(fixture->indexes->in_error, 0);
	fixture->indexes->in_cons = SIZE;
	pump(fixture, 1 << 20);
	assert_int_equal(fixture->indexes->in_prod, SIZE + 10);
	assert_int_equal(fixture->indexes->in_error, -ENOTCONN);
}

static void test_write_error(void **state)
{
	struct fixture *fixture = *state;

	close(fixture->far);
	fixture->far = -1;
	fixture->indexes->out_prod = 10;
	assert_true(pump(fixture, 1000) & STREAM_NOTIFY);
	assert_int_equal(fixture->indexes->out_error, -EPIPE);
	pump(fixture, 1000);
	assert_int_equal(fixture->indexes->in_error, -ENOTCONN);
}

/* In the place of the pair: a connection that the peer has reset after some bytes. */
static void open_reset_connection(struct fixture *fixture)
{
	const struct linger at_once = {.l_onoff = 1};
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	struct pollfd polled = {.events = POLLIN};

	assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	close(fixture->near);
	close(fixture->far);
	fixture->near = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fixture->near, (struct sockaddr *)&address, size), 0);
	fixture->far = accept(listener, NULL, NULL);
	close(listener);
	assert_int_equal(write(fixture->far, "five!", 5), 5);
	setsockopt(fixture->far, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(fixture->far);
	fixture->far = -1;
	polled.fd = fixture->near;
	do
		assert_int_equal(poll(&polled, 1, 5000), 1);
	while (!(polled.revents & POLLERR));
	stream_start(&fixture->stream, fixture->near, NULL, NULL);
}

/* The socket tells its error to the write, and once: reading must not take it for an end. */
static void test_reset_found_by_writing(void **state)
{
	struct fixture *fixture = *state;

	open_reset_connection(fixture);
	fixture->indexes->out_prod = 10;
	assert_true(pump(fixture, 1000) & STREAM_NOTIFY);
	assert_int_equal(fixture->indexes->out_error, -ECONNRESET);
	stream_event(&fixture->stream, EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR);
	pump(fixture, 1000);
	assert_int_equal(fixture->indexes->in_prod, 5);
	assert_int_equal(fixture->indexes->in_error, -ECONNRESET);
}

static void test_reset_found_by_reading(void **state)
{
	struct fixture *fixture = *state;

	open_reset_connection(fixture);
	stream_event(&fixture->stream, EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR);
	pump(fixture, 1000);
	assert_int_equal(fixture->indexes->in_prod, 5);
	assert_int_equal(fixture->indexes->in_error, -ECONNRESET);
	assert_int_equal(fixture->indexes->out_error, -ECONNRESET);
}

static void test_impossible_index(void **state)
{
	struct fixture *fixture = *state;

	fixture->indexes->out_prod = SIZE + 1;
	assert_int_equal(pump(fixture, 1000), -EPROTO);
}

static void test_meter_holds_back(void **state)
{
	struct fixture *fixture = *state;

	fixture->stream.meter_out = meter_create(1000, 160, 0);
	fixture->indexes->out_prod = 1000;
	assert_true(pump(fixture, 100000) & STREAM_WAIT);
	assert_int_equal(fixture->stream.bytes_out, 160);
	assert_int_not_equal(fixture->wake, UINT64_MAX);
	stream_pump(&fixture->stream, 100000, fixture->wake, &fixture->wake);
	assert_true(fixture->stream.bytes_out > 160);
}

static void test_full_socket_waits_for_epoll(void **state)
{
	struct fixture *fixture = *state;
	int rounds = 0;

	while (fixture->stream.writable) {
		fixture->indexes->out_prod = fixture->stream.ring.out_cons + SIZE;
		pump(fixture, 1 << 20);
		assert_true(++rounds < 100000);
	}
	assert_int_equal(pump(fixture, 1000), 0);
	stream_event(&fixture->stream, EPOLLOUT);
	assert_true(fixture->stream.writable);
}

/* The guest writes so many bytes, and that these were the last. */
static void write_last(struct fixture *fixture, uint32_t bytes)
{
	fixture->stream.ring.half_close = true;
	fixture->indexes->out_prod += bytes;
	fixture->indexes->out_end = 1;
}

/* Bytes that the peer can read, up to and without the end if *ended. */
static size_t arrived(struct fixture *fixture, bool *ended)
{
	char bytes[SIZE];
	size_t total = 0;
	ssize_t got;

	while ((got = read(fixture->far, bytes, sizeof(bytes))) > 0)
		total += (size_t)got;
	*ended = got == 0;
	return total;
}

static void test_half_close(void **state)
{
	struct fixture *fixture = *state;
	bool ended;

	write_last(fixture, 5);
	assert_true(stream_has_work(&fixture->stream));
	assert_true(pump(fixture, 1000) & STREAM_MOVED);
	assert_false(stream_has_work(&fixture->stream));
	assert_int_equal(arrived(fixture, &ended), 5);
	assert_true(ended);
	/* The other direction goes on, to its own end. */
	assert_int_equal(write(fixture->far, "answer", 6), 6);
	stream_event(&fixture->stream, EPOLLIN);
	assert_int_equal(pump(fixture, 1000), STREAM_MOVED | STREAM_NOTIFY);
	assert_int_equal(fixture->indexes->in_prod, 6);
	assert_int_equal(fixture->indexes->in_error, 0);
	shutdown(fixture->far, SHUT_WR);
	stream_event(&fixture->stream, EPOLLIN | EPOLLRDHUP | EPOLLHUP);
	assert_int_equal(pump(fixture, 1000), STREAM_NOTIFY);
	assert_int_equal(fixture->indexes->in_error, -ENOTCONN);
	assert_int_equal(fixture->indexes->out_error, 0);
	assert_int_equal(fixture->stream.bytes_out, 5);
}

static void test_half_close_without_a_byte(void **state)
{
	struct fixture *fixture = *state;
	bool ended;

	/* Said while the socket took nothing: that it can't be written to has no say. */
	fixture->stream.writable = false;
	write_last(fixture, 0);
	assert_true(stream_has_work(&fixture->stream));
	assert_int_equal(pump(fixture, 1000), STREAM_MOVED);
	assert_false(stream_has_work(&fixture->stream));
	assert_int_equal(arrived(fixture, &ended), 0);
	assert_true(ended);
	assert_int_equal(pump(fixture, 1000), 0);
}

static void test_half_close_is_not_negotiated(void **state)
{
	struct fixture *fixture = *state;
	bool ended;

	write_last(fixture, 5);
	fixture->stream.ring.half_close = false;
	pump(fixture, 1000);
	assert_false(stream_has_work(&fixture->stream));
	assert_int_equal(arrived(fixture, &ended), 5);
	assert_false(ended);
}

static void test_bytes_after_the_end_are_not_sent(void **state)
{
	struct fixture *fixture = *state;
	bool ended;

	write_last(fixture, 5);
	pump(fixture, 3); /* the end is seen, and not reached yet */
	fixture->indexes->out_prod += 10;
	pump(fixture, 1000);
	assert_int_equal(arrived(fixture, &ended), 5);
	assert_true(ended);
	fixture->indexes->out_prod += SIZE; /* an index that would be impossible elsewhere */
	assert_false(stream_has_work(&fixture->stream));
	assert_int_equal(pump(fixture, 1000), 0);
}

static void test_half_close_waits_for_the_meter(void **state)
{
	struct fixture *fixture = *state;
	bool ended;

	fixture->stream.meter_out = meter_create(1000, 160, 0);
	write_last(fixture, 200);
	assert_true(pump(fixture, 100000) & STREAM_WAIT);
	assert_int_equal(arrived(fixture, &ended), 160);
	assert_false(ended);
	stream_pump(&fixture->stream, 100000, 10000000000, &fixture->wake);
	assert_int_equal(arrived(fixture, &ended), 40);
	assert_true(ended);
}

/* An empty bucket holds bytes back, not the end. */
static void test_half_close_needs_no_tokens(void **state)
{
	struct fixture *fixture = *state;
	bool ended;

	fixture->stream.meter_out = meter_create(1000, 160, 0);
	write_last(fixture, 160);
	pump(fixture, 100000);
	assert_int_equal(arrived(fixture, &ended), 160);
	assert_true(ended);
}

static void test_half_close_waits_for_the_peer(void **state)
{
	struct fixture *fixture = *state;
	size_t total = 0;
	bool ended = false;

	while (fixture->stream.writable) {
		fixture->indexes->out_prod = fixture->stream.ring.out_cons + SIZE;
		pump(fixture, 1 << 20);
	}
	write_last(fixture, 0);
	assert_int_equal(pump(fixture, 1 << 20) & STREAM_MOVED, 0);
	assert_false(stream_has_work(&fixture->stream));
	while (!ended) {
		total += arrived(fixture, &ended);
		stream_event(&fixture->stream, EPOLLOUT);
		pump(fixture, 1 << 20);
	}
	assert_int_equal(total, fixture->indexes->out_prod);
	assert_int_equal(total, fixture->stream.bytes_out);
}

static void test_half_close_of_a_peer_that_is_gone(void **state)
{
	struct fixture *fixture = *state;

	close(fixture->far);
	fixture->far = -1;
	write_last(fixture, 0);
	assert_true(pump(fixture, 1000) >= 0);
	assert_int_equal(fixture->indexes->out_error, 0);
	stream_event(&fixture->stream, EPOLLIN | EPOLLRDHUP | EPOLLHUP);
	pump(fixture, 1000);
	assert_int_equal(fixture->indexes->in_error, -ENOTCONN);
	assert_false(stream_has_work(&fixture->stream));
}

/* The page of a parked connection, zeroed by the guest, joined to another socket. */
static void test_next_connection_begins_open(void **state)
{
	struct fixture *fixture = *state;
	bool ended;

	write_last(fixture, 5);
	pump(fixture, 1000);
	arrived(fixture, &ended);
	assert_true(ended);
	close(fixture->near);
	close(fixture->far);
	assert_int_equal(open_pair(fixture), 0);
	memset(fixture->indexes, 0, 4096);
	data_ring_attach(&fixture->stream.ring, fixture->indexes, fixture->data, ORDER);
	stream_start(&fixture->stream, fixture->near, NULL, NULL);
	fixture->stream.ring.half_close = true;
	fixture->indexes->out_prod = 7;
	pump(fixture, 1000);
	assert_int_equal(arrived(fixture, &ended), 7);
	assert_false(ended);
	write_last(fixture, 0);
	pump(fixture, 1000);
	assert_int_equal(arrived(fixture, &ended), 0);
	assert_true(ended);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_bytes_in),
		TEST(test_bytes_out),
		TEST(test_budget),
		TEST(test_end_comes_after_the_last_byte),
		TEST(test_end_waits_for_room),
		TEST(test_write_error),
		TEST(test_reset_found_by_writing),
		TEST(test_reset_found_by_reading),
		TEST(test_impossible_index),
		TEST(test_meter_holds_back),
		TEST(test_full_socket_waits_for_epoll),
		TEST(test_half_close),
		TEST(test_half_close_without_a_byte),
		TEST(test_half_close_is_not_negotiated),
		TEST(test_bytes_after_the_end_are_not_sent),
		TEST(test_half_close_waits_for_the_meter),
		TEST(test_half_close_needs_no_tokens),
		TEST(test_half_close_waits_for_the_peer),
		TEST(test_half_close_of_a_peer_that_is_gone),
		TEST(test_next_connection_begins_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
