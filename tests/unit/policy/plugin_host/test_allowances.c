/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is kept of allowances beyond an engine: found by its key, and the least is lost first. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "policy/plugin_host/allowances.h"

static int setup(void **state)
{
	struct allowances *allowances = calloc(1, sizeof(*allowances));

	allowances->seed = 0x1234567890abcdef;
	*state = allowances;
	return 0;
}

static int teardown(void **state)
{
	free(*state);
	return 0;
}

static void test_keys(void **state)
{
	struct allowances *allowances = *state;
	uint64_t key = allowances_key(allowances, "ratelimit", "a", 7);

	assert_int_equal(allowances_key(allowances, "ratelimit", "a", 7), key);
	assert_int_not_equal(allowances_key(allowances, "ratelimit", "a", 8), key);
	assert_int_not_equal(allowances_key(allowances, "ratelimit", "b", 7), key);
	assert_int_not_equal(allowances_key(allowances, "meter", "a", 7), key);
	assert_int_not_equal(allowances_key(allowances, "ratelimita", "", 7), key);
	allowances->seed++;
	assert_int_not_equal(allowances_key(allowances, "ratelimit", "a", 7), key);
}

static void test_put_and_get(void **state)
{
	struct allowances *allowances = *state;
	uint64_t key = allowances_key(allowances, "ratelimit", "a", 7);

	assert_int_equal(allowances_get(allowances, key), 0);
	allowances_put(allowances, key, 2000, 1000);
	assert_int_equal(allowances_get(allowances, key), 2000);
	allowances_put(allowances, key, 1500, 1000);
	assert_int_equal(allowances_get(allowances, key), 1500);
}

/* More keys than a set has places for: those that will be full last stay. */
static void test_crowded(void **state)
{
	struct allowances *allowances = *state;
	uint64_t i;

	for (i = 0; i < 2 * ALLOWANCE_WAYS; i++)
		allowances_put(allowances, 5 + i * ALLOWANCE_SETS, 2000 + i, 1000);
	for (i = 0; i < 2 * ALLOWANCE_WAYS; i++)
		assert_int_equal(allowances_get(allowances, 5 + i * ALLOWANCE_SETS),
				 i < ALLOWANCE_WAYS ? 0 : 2000 + i);
	allowances_put(allowances, 5, 1900, 1000); /* less than any of them */
	assert_int_equal(allowances_get(allowances, 5), 0);
	allowances_put(allowances, 5, 1900, 5000); /* they are full by then */
	assert_int_equal(allowances_get(allowances, 5), 1900);
}

static void test_map(void **state)
{
	struct allowances *allowances;
	int fd = memfd_create("test", MFD_CLOEXEC);

	(void)state;
	assert_int_equal(ftruncate(fd, sizeof(*allowances) - 1), 0);
	assert_int_equal(allowances_map(&allowances, fd), -EINVAL);
	assert_int_equal(ftruncate(fd, sizeof(*allowances)), 0);
	assert_int_equal(allowances_map(&allowances, fd), 0);
	allowances_unmap(allowances);
	allowances_unmap(NULL);
	close(fd);
	assert_int_equal(allowances_map(&allowances, fd), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_keys, setup, teardown),
		cmocka_unit_test_setup_teardown(test_put_and_get, setup, teardown),
		cmocka_unit_test_setup_teardown(test_crowded, setup, teardown),
		cmocka_unit_test(test_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
