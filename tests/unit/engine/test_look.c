/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How long an engine looks before it sleeps, and how long pages stay parked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "engine/connection.h"
#include "engine/limits.h"
#include "engine/look.h"
#include "engine/parking.h"

#define LONG_NS (100 * NS_PER_S)

static void test_longest_look_is_within_its_limits(void **state)
{
	struct look look = {0};

	(void)state;
	look_calibrate(&look);
	assert_in_range(look.max_ns, ENGINE_LOOK_NS_MIN, ENGINE_LOOK_NS_MAX);
	assert_true(look.slice_ns > 0);
	assert_false(look_on(&look)); /* nothing says that it pays */
}

static void test_look_grows_when_it_finds_and_shrinks_to_nothing_when_not(void **state)
{
	struct look look = {.max_ns = 1000, .ns = 250};
	int i;

	(void)state;
	look_end(&look, true);
	assert_int_equal(look.ns, 500);
	for (i = 0; i < 5; i++)
		look_end(&look, true);
	assert_int_equal(look.ns, 1000);
	for (i = 0; i < 5; i++)
		look_end(&look, false);
	assert_int_equal(look.ns, 0);
	look_end(&look, true);
	assert_int_equal(look.ns, 0);
}

static void test_short_sleeps_begin_it_and_long_ones_do_not(void **state)
{
	struct look look = {.max_ns = LONG_NS};
	uint64_t now = clock_monotonic_ns();

	(void)state;
	look_after_sleep(&look, now - 2 * LONG_NS);
	assert_int_equal(look.ns, 0);
	look.again_ns = now + LONG_NS;
	look_after_sleep(&look, now);
	assert_int_equal(look.ns, 0);
	look.again_ns = 0;
	look_after_sleep(&look, now);
	assert_int_equal(look.ns, LONG_NS / 4);
}

/* Whoever gets the processor for longer than a look may last ends the looking. */
static void test_looking_ends_where_the_processor_is_wanted(void **state)
{
	struct look look = {.max_ns = LONG_NS, .ns = LONG_NS};

	(void)state;
	look_give_way(&look);
	assert_int_equal(look.ns, LONG_NS);
	look.max_ns = 0; /* whatever it took was longer */
	look_give_way(&look);
	assert_int_equal(look.ns, 0);
	assert_true(look.again_ns > clock_monotonic_ns());
}

static void test_a_slice_ends_with_the_look(void **state)
{
	struct look look = {.max_ns = LONG_NS, .ns = LONG_NS, .slice_ns = 2 * LONG_NS};

	(void)state;
	look_begin(&look);
	assert_true(look_on(&look));
	assert_int_equal(look_slice(&look), look.deadline_ns);
	look.deadline_ns = 0;
	assert_false(look_on(&look));
}

static void test_parked_pages_are_given_back_when_they_are_old(void **state)
{
	struct connection old = {.ref = 3};
	struct connection young = {.ref = 3 + PARKING_BUCKETS}; /* in the same bucket */
	struct parking parking = {0};
	uint64_t now = clock_monotonic_ns();

	(void)state;
	assert_true(parking_put(&parking, &old));
	assert_true(parking_put(&parking, &young));
	assert_true(old.parked_ns >= now);
	assert_null(parking_take_old(&parking, now));
	old.parked_ns = now - 1;
	assert_ptr_equal(parking_take_old(&parking, now), &old);
	assert_null(parking_take_old(&parking, now));
	assert_ptr_equal(parking_take(&parking, young.ref), &young);
	assert_int_equal(parking.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_longest_look_is_within_its_limits),
		cmocka_unit_test(test_look_grows_when_it_finds_and_shrinks_to_nothing_when_not),
		cmocka_unit_test(test_short_sleeps_begin_it_and_long_ones_do_not),
		cmocka_unit_test(test_looking_ends_where_the_processor_is_wanted),
		cmocka_unit_test(test_a_slice_ends_with_the_look),
		cmocka_unit_test(test_parked_pages_are_given_back_when_they_are_old),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
