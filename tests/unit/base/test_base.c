/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/meter.h"

struct pair {
	struct loop *loop;
	struct loop_source *first;
	struct loop_source *second;
	int calls;
};

/* Whichever comes first removes and frees both: the other must not be called any more. */
static void remove_both(struct loop_source *source, uint32_t events)
{
	struct pair *pair = source->owner;

	(void)events;
	pair->calls++;
	loop_remove(pair->loop, pair->first);
	loop_remove(pair->loop, pair->second);
	free(pair->first);
	free(pair->second);
}

static void test_sources_may_be_freed_from_callbacks(void **state)
{
	struct pair pair = {.loop = loop_create()};
	int one = eventfd(1, EFD_NONBLOCK);
	int two = eventfd(1, EFD_NONBLOCK);

	(void)state;
	pair.first = calloc(1, sizeof(*pair.first));
	pair.second = calloc(1, sizeof(*pair.second));
	assert_int_equal(loop_add(pair.loop, pair.first, one, EPOLLIN, remove_both, &pair), 0);
	assert_int_equal(loop_add(pair.loop, pair.second, two, EPOLLIN, remove_both, &pair), 0);
	assert_int_equal(loop_turn(pair.loop, 0), 1);
	assert_int_equal(pair.calls, 1);
	assert_int_equal(loop_turn(pair.loop, 0), 0);
	loop_destroy(pair.loop);
	close(one);
	close(two);
}

#define TIMERS 200

struct clockwork {
	struct loop *loop;
	struct loop_timer timers[TIMERS];
	uint64_t last;
	int calls;
};

static void tick(struct loop_timer *timer)
{
	struct clockwork *clockwork = timer->owner;

	assert_true(timer->deadline_ns >= clockwork->last);
	clockwork->last = timer->deadline_ns;
	clockwork->calls++;
}

static void test_timers_run_in_order(void **state)
{
	struct clockwork clockwork = {.loop = loop_create()};
	uint64_t now = clock_monotonic_ns();
	int disarmed = 0;
	int i;

	(void)state;
	srandom(1);
	for (i = 0; i < TIMERS; i++)
		loop_arm(clockwork.loop, &clockwork.timers[i], now - (uint64_t)random() % 1000000,
			 tick, &clockwork);
	for (i = 0; i < TIMERS; i += 3, disarmed++)
		loop_disarm(clockwork.loop, &clockwork.timers[i]);
	loop_disarm(clockwork.loop, &clockwork.timers[0]); /* twice is fine */
	loop_turn(clockwork.loop, 0);
	assert_int_equal(clockwork.calls, TIMERS - disarmed);
	loop_destroy(clockwork.loop);
}

static void test_waits_no_longer_than_the_next_timer(void **state)
{
	struct clockwork clockwork = {.loop = loop_create()};

	(void)state;
	loop_arm(clockwork.loop, &clockwork.timers[0], clock_monotonic_ns() + NS_PER_MS, tick,
		 &clockwork);
	/* Hangs (and the test times out) if the timer did not bound the wait. */
	while (!clockwork.calls)
		loop_turn(clockwork.loop, LOOP_FOREVER);
	loop_destroy(clockwork.loop);
}

static void test_meter_lets_its_rate_pass(void **state)
{
	struct meter *meter = meter_create(1000000, 10000, 0);
	uint64_t passed = 0;
	uint64_t now;

	(void)state;
	for (now = 0; now < NS_PER_S; now += NS_PER_MS) {
		size_t allowed = meter_allows(meter, SIZE_MAX, now);

		meter_take(meter, allowed);
		passed += allowed;
	}
	/* A second's worth and the burst it began with, but for the last useful part. */
	assert_in_range(passed, 1000000 + 10000 - 2000, 1000000 + 10000);
	meter_unref(meter);
}

static void test_meter_says_when(void **state)
{
	struct meter *meter = meter_create(100, 1600, 0);
	uint64_t ready;

	(void)state;
	meter_take(meter, meter_allows(meter, 5000, 0));
	assert_int_equal(meter_allows(meter, 5000, 0), 0);
	ready = meter_ready_ns(meter, 0);
	assert_int_equal(meter_allows(meter, 5000, ready - NS_PER_MS * 100), 0);
	assert_true(meter_allows(meter, 5000, ready) >= 100);
	assert_int_equal(meter_allows(NULL, 5000, 0), 5000);
	meter_unref(meter);
}

static void test_slow_meter_fills_at_last(void **state)
{
	struct meter *meter = meter_create(1, 1, 0);
	uint64_t now;
	uint64_t passed = 0;

	(void)state;
	meter_take(meter, meter_allows(meter, 1, 0));
	for (now = 0; now < 10 * NS_PER_S; now += NS_PER_MS * 10) {
		size_t allowed = meter_allows(meter, 1, now);

		meter_take(meter, allowed);
		passed += allowed;
	}
	assert_int_equal(passed, 9);
	meter_unref(meter);
}

static void test_descriptors_travel(void **state)
{
	int sockets[2];
	int fds[FDS_PER_MESSAGE];
	int many[FDS_PER_MESSAGE + 1] = {0};
	size_t count;
	char data[8];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets), 0);
	assert_int_equal(fd_send(sockets[0], "hello", 5, sockets, 2), 0);
	assert_int_equal(fd_receive(sockets[1], data, sizeof(data), fds, &count), 5);
	assert_int_equal(count, 2);
	assert_true(fds[0] > sockets[1] && fds[1] > sockets[1]);
	assert_int_equal(fds[2], -1);
	fd_close(&fds[0]);
	fd_close(&fds[1]);
	assert_int_equal(fd_send(sockets[0], "x", 1, many, FDS_PER_MESSAGE + 1), -E2BIG);
	assert_int_equal(fd_receive(sockets[1], data, sizeof(data), fds, &count), -EAGAIN);
	/* What is cut off is refused whole, and its descriptors closed. */
	assert_int_equal(fd_send(sockets[0], "more than eight", 15, sockets, 1), 0);
	assert_int_equal(fd_receive(sockets[1], data, sizeof(data), fds, &count), -EMSGSIZE);
	assert_int_equal(count, 0);
	close(sockets[0]);
	assert_int_equal(fd_receive(sockets[1], data, sizeof(data), fds, &count), 0);
	close(sockets[1]);
}

static void test_log_escapes(void **state)
{
	struct log log;
	char line[512] = "";
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	log_init(&log, "program", LOG_LEVEL_INFO);
	log.fd = ends[1];
	log_info(&log, "evil \033[31m%s\n\xff", "name");
	log_debug(&log, "not written");
	assert_true(read(ends[0], line, sizeof(line) - 1) > 0);
	assert_string_equal(line, "program: info: evil \\x1b[31mname\\x0a\\xff\n");
	memset(line, 0, sizeof(line));
	log_lines(&log, LOG_LEVEL_ERROR, "refused", "one\ntwo\n");
	log_lines(&log, LOG_LEVEL_ERROR, "refused", "");
	assert_true(read(ends[0], line, sizeof(line) - 1) > 0);
	assert_string_equal(line, "program: error: refused: one\nprogram: error: refused: two\n"
				  "program: error: refused: \n");
	close(ends[0]);
	close(ends[1]);
}

static void test_fault(void **state)
{
	struct fault fault;

	(void)state;
	assert_int_equal(fault_set(&fault, EINVAL, "line %d", 7), -EINVAL);
	assert_string_equal(fault.text, "line 7");
	assert_int_equal(fault_set(NULL, EIO, "nobody reads it"), -EIO);
}

static void write_down(void *owner, const char *text)
{
	const int *fd = owner;

	if (write(*fd, text, strlen(text)) < 0)
		abort();
}

static void test_assertion_ends_the_process_with_its_reason(void **state)
{
	char text[256] = "";
	int ends[2];
	int status;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	child = fork();
	if (child == 0) {
		close(STDERR_FILENO);
		assert_tell(write_down, &ends[1]);
		ASSERT(text[0] == '\0');
		ASSERT(ends[0] == ends[1]);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_true(read(ends[0], text, sizeof(text) - 1) > 0);
	assert_non_null(strstr(text, "test_base.c:"));
	assert_non_null(strstr(text, __func__));
	assert_non_null(strstr(text, "ends[0] == ends[1]"));
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sources_may_be_freed_from_callbacks),
		cmocka_unit_test(test_timers_run_in_order),
		cmocka_unit_test(test_waits_no_longer_than_the_next_timer),
		cmocka_unit_test(test_meter_lets_its_rate_pass),
		cmocka_unit_test(test_meter_says_when),
		cmocka_unit_test(test_slow_meter_fills_at_last),
		cmocka_unit_test(test_descriptors_travel),
		cmocka_unit_test(test_log_escapes),
		cmocka_unit_test(test_fault),
		cmocka_unit_test(test_assertion_ends_the_process_with_its_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
