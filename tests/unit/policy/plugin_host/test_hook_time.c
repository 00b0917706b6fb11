/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is blamed for the time of a hook. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include <pvcalls/plugin.h>

#include "base/clock.h"
#include "policy/plugin_host/hook_time.h"

static void sleep_ns(long ns)
{
	struct timespec wait = {.tv_nsec = ns};

	nanosleep(&wait, NULL);
}

/* By the thread's own processor time, however often others get it in between. */
static void use_processor(uint64_t ns)
{
	struct timespec now;
	uint64_t end_ns;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	end_ns = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec + ns;
	do
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	while ((uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec < end_ns);
}

static void test_a_hook_that_sleeps_is_blamed(void **state)
{
	struct hook_watch watch = {0};
	uint64_t took_ns;

	(void)state;
	hook_watch_init(&watch);
	hook_watch_begin(&watch);
	sleep_ns(PVCALLS_HOOK_FAULT_NS + (long)NS_PER_MS);
	assert_int_equal(hook_watch_end(&watch, &took_ns), HOOK_FAULT);
	assert_true(took_ns > PVCALLS_HOOK_FAULT_NS);
}

static void test_a_hook_that_uses_the_processor_is_late(void **state)
{
	struct hook_watch watch = {0};
	uint64_t took_ns;

	(void)state;
	hook_watch_init(&watch);
	hook_watch_begin(&watch);
	use_processor(2 * PVCALLS_HOOK_FAULT_NS);
	assert_int_equal(hook_watch_end(&watch, &took_ns), HOOK_LATE);
}

/* The engine's own sleep, a moment before: the thread's count of sleeps was another one then. */
static void test_a_sleep_before_the_hook_is_not_the_hooks(void **state)
{
	struct hook_watch watch = {0};
	uint64_t took_ns;

	(void)state;
	hook_watch_init(&watch);
	hook_watch_begin(&watch);
	hook_watch_slept(&watch);
	sleep_ns(1000);
	hook_watch_begin(&watch);
	use_processor(2 * PVCALLS_HOOK_FAULT_NS);
	assert_int_equal(hook_watch_end(&watch, &took_ns), HOOK_LATE);
}

/* A call of the engine's own may have been what slept: blamed, if that is so twice in a row. */
static void test_a_sleep_that_may_be_ours_is_late(void **state)
{
	struct hook_watch watch = {0};
	uint64_t took_ns;

	(void)state;
	hook_watch_init(&watch);
	hook_watch_begin(&watch);
	hook_watch_may_have_slept(&watch);
	sleep_ns(PVCALLS_HOOK_FAULT_NS + (long)NS_PER_MS);
	assert_int_equal(hook_watch_end(&watch, &took_ns), HOOK_LATE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_hook_that_sleeps_is_blamed),
		cmocka_unit_test(test_a_hook_that_uses_the_processor_is_late),
		cmocka_unit_test(test_a_sleep_before_the_hook_is_not_the_hooks),
		cmocka_unit_test(test_a_sleep_that_may_be_ours_is_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
