/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The time of day of a loop, by a clock, a counter and a timer of the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "base/wall_clock.h"

#define BEGAN_NS (1700000000 * NS_PER_S) /* of day */
#define HOUR_NS  (3600 * NS_PER_S)

static uint64_t monotonic_ns;
static uint64_t day_ns;
static uint64_t passes_ns; /* while a reading is made */
static uint64_t age_ns;    /* of a reading, by the counter */
static unsigned int readings;

int __wrap_clock_gettime(clockid_t id, struct timespec *now);
uint64_t __wrap_ticks_span_ns(const struct ticks_scale *scale, uint64_t from, uint64_t to);

static void time_passes(uint64_t ns)
{
	monotonic_ns += ns;
	day_ns += ns;
}

int __wrap_clock_gettime(clockid_t id, struct timespec *now)
{
	uint64_t ns = id == CLOCK_REALTIME ? day_ns : monotonic_ns;

	readings++;
	now->tv_sec = (time_t)(ns / NS_PER_S);
	now->tv_nsec = (long)(ns % NS_PER_S);
	time_passes(passes_ns);
	return 0;
}

uint64_t __wrap_ticks_span_ns(const struct ticks_scale *scale, uint64_t from, uint64_t to)
{
	(void)scale;
	(void)from;
	(void)to;
	return age_ns;
}

static struct wall_clock test_clock;

static int setup(void **state)
{
	monotonic_ns = 5 * NS_PER_S;
	day_ns = BEGAN_NS;
	passes_ns = 50 * NS_PER_US; /* or a counter would take forever to measure */
	age_ns = 0;
	test_clock = (struct wall_clock){.loop = NULL};
	*state = loop_create();
	assert_int_equal(wall_clock_open(&test_clock, *state), 0);
	passes_ns = 0;
	readings = 0;
	return 0;
}

static int teardown(void **state)
{
	wall_clock_close(&test_clock);
	wall_clock_close(&test_clock); /* nothing, the second time */
	loop_destroy(*state);
	return 0;
}

/* The clocks were read one after the other, which is as good as it can be told. */
static void expect_time_of_day(uint64_t ns)
{
	uint64_t now_ns = wall_clock_now_ns(&test_clock);

	assert_in_range(now_ns, ns - 50 * NS_PER_US, ns + 50 * NS_PER_US);
}

static void test_each_turn_has_its_time_without_a_reading_more(void **state)
{
	struct loop *loop = *state;
	int i;

	for (i = 1; i <= 3; i++) {
		time_passes(HOUR_NS);
		assert_int_equal(loop_turn(loop, 0), 0);
		expect_time_of_day(day_ns);
		expect_time_of_day(day_ns);
		assert_int_equal(readings, i); /* the loop's own */
	}
}

static void test_a_reading_is_used_while_it_is_young(void **state)
{
	struct loop *loop = *state;
	uint64_t read_ns = day_ns;

	assert_int_equal(loop_turn(loop, 0), 0);
	readings = 0;
	time_passes(WALL_CLOCK_AGE_NS);
	age_ns = WALL_CLOCK_AGE_NS;
	expect_time_of_day(read_ns);
	assert_int_equal(readings, 0);
	time_passes(NS_PER_S);
	age_ns++;
	expect_time_of_day(day_ns);
	assert_int_equal(readings, 1);
	/* It is this reading that is used from now on, not the loop's before. */
	read_ns = day_ns;
	time_passes(NS_PER_MS);
	age_ns = 0;
	expect_time_of_day(read_ns);
	assert_int_equal(readings, 1);
	assert_int_equal(loop_turn(loop, 0), 0);
	expect_time_of_day(day_ns);
}

/* The kernel is asked to tell, and what it tells is heeded. */
static void test_follows_a_clock_that_is_set(void **state)
{
	struct loop *loop = *state;
	loop_fd_fn dispatch = test_clock.set.dispatch;
	int timer = test_clock.set.fd;
	int bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	uint64_t times[2] = {day_ns + HOUR_NS, BEGAN_NS / 2};
	int i;

	loop_remove(loop, &test_clock.set);
	assert_int_equal(loop_add(loop, &test_clock.set, bell, EPOLLIN, dispatch, &test_clock), 0);
	for (i = 0; i < 2; i++) {
		day_ns = times[i];
		assert_int_equal(eventfd_write(bell, 1), 0);
		passes_ns = 2 * NS_PER_US;
		assert_int_equal(loop_turn(loop, 0), 1);
		passes_ns = 0;
		assert_int_equal(loop_turn(loop, 0), 0); /* it has heard */
		expect_time_of_day(day_ns);
	}
	close(timer);
}

/* The timer is one of CLOCK_REALTIME, and has the flags TFD_TIMER_ABSTIME and ..._CANCEL_ON_SET. */
static void test_the_kernel_is_asked_to_tell(void **state)
{
	char path[64];
	char text[512] = "";
	FILE *file;

	(void)state;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", test_clock.set.fd);
	file = fopen(path, "re");
	assert_non_null(file);
	assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
	fclose(file);
	assert_non_null(strstr(text, "clockid: 0\n"));
	assert_non_null(strstr(text, "settime flags: 03\n"));
	assert_null(strstr(text, "it_value: (0, 0)"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_each_turn_has_its_time_without_a_reading_more,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_reading_is_used_while_it_is_young, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_follows_a_clock_that_is_set, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_kernel_is_asked_to_tell, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
