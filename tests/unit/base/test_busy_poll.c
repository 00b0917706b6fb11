/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/busy_poll.h"
#include "base/clock.h"

#define LEAST_NS 50000u
#define MOST_NS  1000000u

/* Polls up to 1,000 ns in rounds of 100 ns. */
static struct busy_poll busy_poll_example(void)
{
	return (struct busy_poll){.max_ns = 1000, .first_ns = 250, .round_ns = 100, .looks = 64};
}

static void test_calibrated_limits_are_within_what_was_asked_for(void **state)
{
	struct busy_poll poll = {0};

	(void)state;
	busy_poll_calibrate(&poll, LEAST_NS, MOST_NS);
	assert_in_range(poll.max_ns, LEAST_NS, MOST_NS);
	assert_int_equal(poll.first_ns, poll.max_ns / 4);
	assert_true(poll.round_ns > 0);
	assert_true(poll.looks > 0);
	assert_false(busy_poll_begin(&poll, 0)); /* nothing says that it pays */
	busy_poll_calibrate(&poll, LEAST_NS, LEAST_NS);
	assert_int_equal(poll.max_ns, LEAST_NS);
}

static void test_grows_when_it_finds_and_shrinks_to_nothing_when_not(void **state)
{
	struct busy_poll poll = busy_poll_example();
	int i;

	(void)state;
	poll.ns = 250;
	busy_poll_end(&poll, true);
	assert_int_equal(poll.ns, 500);
	for (i = 0; i < 5; i++)
		busy_poll_end(&poll, true);
	assert_int_equal(poll.ns, 1000);
	for (i = 0; i < 5; i++)
		busy_poll_end(&poll, false);
	assert_int_equal(poll.ns, 0);
	busy_poll_end(&poll, true);
	assert_int_equal(poll.ns, 0);
}

static void test_short_sleeps_begin_it_and_long_ones_do_not(void **state)
{
	struct busy_poll poll = busy_poll_example();

	(void)state;
	busy_poll_slept(&poll, 5000, 6000);
	assert_int_equal(poll.ns, 0);
	busy_poll_slept(&poll, 5000, 5999);
	assert_int_equal(poll.ns, 250);
	poll.ns = 700; /* a short sleep changes nothing while polling pays */
	busy_poll_slept(&poll, 7000, 7001);
	assert_int_equal(poll.ns, 700);
}

static void test_goes_on_until_its_time_is_over(void **state)
{
	struct busy_poll poll = busy_poll_example();

	(void)state;
	poll.ns = 250;
	assert_true(busy_poll_begin(&poll, 1000));
	assert_true(busy_poll_goes_on(&poll, 1100));
	assert_true(busy_poll_goes_on(&poll, 1249));
	assert_false(busy_poll_goes_on(&poll, 1250));
	assert_int_equal(poll.ns, 250); /* nobody else wanted the processor */
}

/* Whoever gets the processor for longer than polling may last ends it. */
static void test_rests_where_the_processor_is_wanted(void **state)
{
	struct busy_poll poll = busy_poll_example();

	(void)state;
	poll.ns = 1000;
	assert_true(busy_poll_begin(&poll, 1000));
	assert_false(busy_poll_goes_on(&poll, 1000 + 100 + 1000));
	assert_int_equal(poll.ns, 0);
	busy_poll_end(&poll, false);
	busy_poll_slept(&poll, 2200, 2300);
	assert_int_equal(poll.ns, 0);
	busy_poll_slept(&poll, 20 * NS_PER_MS, 20 * NS_PER_MS + 1);
	assert_int_equal(poll.ns, 250);
	assert_false(busy_poll_gave_way(&poll, 5000, 5999));
	assert_int_equal(poll.ns, 250);
	assert_true(busy_poll_gave_way(&poll, 5000, 6000));
	assert_int_equal(poll.ns, 0);
}

struct busy_poll_memory {
	uint32_t looks;
	uint32_t work_at; /* the look that sees work; 0: none does */
};

static bool busy_poll_memory_look(void *owner)
{
	struct busy_poll_memory *memory = owner;

	memory->looks++;
	return memory->looks == memory->work_at;
}

static void test_a_slice_ends_with_work_or_after_its_looks(void **state)
{
	struct busy_poll poll = busy_poll_example();
	struct busy_poll_memory idle = {0};
	struct busy_poll_memory busy = {.work_at = 3};

	(void)state;
	assert_false(busy_poll_slice(&poll, busy_poll_memory_look, &idle));
	assert_int_equal(idle.looks, 64);
	assert_true(busy_poll_slice(&poll, busy_poll_memory_look, &busy));
	assert_int_equal(busy.looks, 3);
}

/* Rounds where a look takes look_ns and the rest calls_ns; returns the looks of a slice then. */
static uint32_t busy_poll_fitted_looks(struct busy_poll *poll, uint64_t look_ns, uint64_t calls_ns)
{
	uint64_t now = 1000;
	int i;

	poll->ns = poll->max_ns;
	assert_true(busy_poll_begin(poll, now));
	for (i = 0; i < 100; i++) {
		now += poll->looks * look_ns + calls_ns;
		(void)busy_poll_goes_on(poll, now);
	}
	return poll->looks;
}

static void test_learns_how_many_looks_fill_a_slice(void **state)
{
	struct busy_poll poll = {.max_ns = 1000000, .round_ns = 13000, .looks = 64};

	(void)state;
	assert_in_range(busy_poll_fitted_looks(&poll, 10, 3000), 900, 1000);
	assert_in_range(busy_poll_fitted_looks(&poll, 100, 3000), 90, 100);
	assert_int_equal(busy_poll_fitted_looks(&poll, 10, 20000), 4); /* looks are not the cost */
	assert_in_range(busy_poll_fitted_looks(&poll, 10, 3000), 900, 1000);
}

static void test_rounds_in_which_others_had_the_processor_teach_nothing(void **state)
{
	struct busy_poll poll = busy_poll_example();

	(void)state;
	poll.ns = 1000;
	assert_true(busy_poll_begin(&poll, 1000));
	assert_false(busy_poll_goes_on(&poll, 1000 + 5000));
	assert_int_equal(poll.looks, 64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_calibrated_limits_are_within_what_was_asked_for),
		cmocka_unit_test(test_grows_when_it_finds_and_shrinks_to_nothing_when_not),
		cmocka_unit_test(test_short_sleeps_begin_it_and_long_ones_do_not),
		cmocka_unit_test(test_goes_on_until_its_time_is_over),
		cmocka_unit_test(test_rests_where_the_processor_is_wanted),
		cmocka_unit_test(test_a_slice_ends_with_work_or_after_its_looks),
		cmocka_unit_test(test_learns_how_many_looks_fill_a_slice),
		cmocka_unit_test(test_rounds_in_which_others_had_the_processor_teach_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
