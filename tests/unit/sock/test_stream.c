/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A stream between a ring in memory and a real socket pair. */
#include <errno.h>
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

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	int ends[2];

	fixture->indexes = aligned_alloc(4096, 4096);
	fixture->data = malloc((size_t)SIZE * 2);
	memset(fixture->indexes, 0, 4096);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) < 0)
		return -1;
	fixture->near = ends[0];
	fixture->far = ends[1];
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
		TEST(test_impossible_index),
		TEST(test_meter_holds_back),
		TEST(test_full_socket_waits_for_epoll),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
