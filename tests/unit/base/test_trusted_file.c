/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/trusted_file.h"

static void test_owners(void **state)
{
	struct stat status = {.st_mode = S_IFREG | 0755};
	struct fault fault = {.text = ""};

	(void)state;
	assert_int_equal(trusted_file_check("/a", &status, &fault), 0);
	status.st_uid = geteuid();
	assert_int_equal(trusted_file_check("/a", &status, &fault), 0);
	status.st_uid = 12345;
	assert_int_equal(trusted_file_check("/a", &status, &fault), -EPERM);
	assert_string_equal(fault.text, "/a: owned by user 12345; expected chown root");
}

static void test_modes(void **state)
{
	struct stat status = {.st_mode = S_IFDIR | 0775};
	struct fault fault = {.text = ""};

	(void)state;
	assert_int_equal(trusted_file_check("/a", &status, &fault), -EPERM);
	assert_string_equal(fault.text, "/a: writable by group or others (mode 0775); "
					"expected chmod go-w");
	status.st_mode = S_IFREG | 0702;
	assert_int_equal(trusted_file_check("/a", &status, &fault), -EPERM);
	status.st_mode = S_IFREG | 0755;
	assert_int_equal(trusted_file_check("/a", &status, &fault), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_owners),
		cmocka_unit_test(test_modes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
