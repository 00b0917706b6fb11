/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who runs ahead of whom, and that an engine without rights gets back to where it was. */
#include <cap-ng.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/scheduling/priority.h"

#define NOBODY 65534
#define MUCH   (1u << 20)

static int choose(uint64_t given, uint64_t taken, uint64_t connected)
{
	const struct traffic traffic = {given, taken, connected / PRIORITY_CONNECT_BYTES};

	return priority_choose(&traffic);
}

static void test_what_went_mostly_decides(void **state)
{
	(void)state;
	assert_int_equal(choose(0, 0, 0), 0);
	assert_int_equal(choose(PRIORITY_LEAST - 1, 0, 0), 0);
	assert_int_equal(choose(PRIORITY_LEAST, 0, 0), PRIORITY_GIVES);
	assert_int_equal(choose(0, PRIORITY_LEAST - 1, 0), 0);
	assert_int_equal(choose(0, PRIORITY_LEAST, 0), PRIORITY_TAKES);
	assert_int_equal(choose(0, 0, PRIORITY_LEAST - 1), 0);
	assert_int_equal(choose(0, 0, PRIORITY_LEAST), PRIORITY_CONNECTS);
	assert_int_equal(choose(MUCH, MUCH, 0), 0);
	assert_int_equal(choose(0, MUCH, MUCH), 0);
	assert_int_equal(choose(MUCH, MUCH / PRIORITY_MOSTLY, 0), PRIORITY_GIVES);
	assert_int_equal(choose(MUCH, MUCH / PRIORITY_MOSTLY + 1, 0), 0);
	assert_int_equal(choose(MUCH / PRIORITY_MOSTLY, MUCH, 0), PRIORITY_TAKES);
	assert_int_equal(choose(MUCH, 0, MUCH), PRIORITY_GIVES);
	assert_int_equal(choose(MUCH / PRIORITY_MOSTLY, 0, MUCH), PRIORITY_CONNECTS);
	assert_int_equal(choose(0, MUCH / PRIORITY_MOSTLY, MUCH), PRIORITY_CONNECTS);
}

/* The nice value after a period in which so much went. */
static int after(struct priority *priority, uint64_t given, uint64_t taken)
{
	const struct traffic traffic = {priority->seen.given + given, priority->seen.taken + taken,
					0};

	priority_adjust(priority, &traffic, priority->until_ns);
	return getpriority(PRIO_PROCESS, 0) - priority->base;
}

static bool give_up_rights(void)
{
	return geteuid() != 0 || setresuid(NOBODY, NOBODY, NOBODY) == 0;
}

/* What follows runs in processes of their own, which end with 0 or the number of what was wrong. */
static int adaptive(void)
{
	bool able = capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_RESOURCE);
	struct priority priority = {0};

	priority_init(&priority, true);
	if (priority.adapts != able || !give_up_rights())
		return 1;
	if (after(&priority, 0, MUCH) != (able ? PRIORITY_TAKES : 0))
		return 2;
	if (after(&priority, MUCH, 0) != (able ? PRIORITY_GIVES : 0))
		return 3;
	if (after(&priority, 0, 0) != 0)
		return 4;
	return priority.adapts == able ? 0 : 5;
}

static int fixed(void)
{
	struct priority priority = {0};

	priority_init(&priority, false);
	if (after(&priority, 0, MUCH) != 0)
		return 1;
	return after(&priority, MUCH, 0) != 0 ? 2 : 0;
}

/* Nothing gave it the right to come back, so it must not go. */
static int refused(void)
{
	struct priority priority = {.base = getpriority(PRIO_PROCESS, 0), .adapts = true};

	if (!give_up_rights() || after(&priority, MUCH, 0) != 0)
		return 1;
	return after(&priority, 0, MUCH) != 0 ? 2 : 0;
}

static void assert_ends_well(int (*process)(void))
{
	pid_t child = fork();
	int status = -1;

	assert_true(child >= 0);
	if (child == 0)
		_exit(process());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_it_comes_and_goes_without_rights(void **state)
{
	(void)state;
	assert_ends_well(adaptive);
}

static void test_it_stays_where_it_is_to_be_fixed(void **state)
{
	(void)state;
	assert_ends_well(fixed);
}

static void test_who_is_refused_stays_as_well(void **state)
{
	(void)state;
	assert_ends_well(refused);
}

static void test_a_period_is_waited_for(void **state)
{
	struct priority priority = {.adapts = true, .until_ns = 10};
	const struct traffic traffic = {.given = MUCH};

	(void)state;
	priority_adjust(&priority, &traffic, 9);
	assert_int_equal(priority.seen.given, 0);
	assert_int_equal(priority.added, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_went_mostly_decides),
		cmocka_unit_test(test_it_comes_and_goes_without_rights),
		cmocka_unit_test(test_it_stays_where_it_is_to_be_fixed),
		cmocka_unit_test(test_who_is_refused_stays_as_well),
		cmocka_unit_test(test_a_period_is_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
