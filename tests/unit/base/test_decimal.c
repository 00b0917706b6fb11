/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/decimal.h"

#define UNTOUCHED 77u

static void test_whole_numbers(void **state)
{
	static const struct {
		const char *text;
		uint64_t max;
		int error;
		uint64_t number;
	} numbers[] = {
		{"0", 0, 0, 0},
		{"007", 7, 0, 7},
		{"65535", 65535, 0, 65535},
		{"65536", 65535, -ERANGE, 0},
		{"18446744073709551615", UINT64_MAX, 0, UINT64_MAX},
		{"18446744073709551615", UINT64_MAX - 1, -ERANGE, 0},
		{"18446744073709551616", UINT64_MAX, -ERANGE, 0},
		{"18446744073709551620", UINT64_MAX, -ERANGE, 0},
		/* These wrap around to small numbers. */
		{"18446744073709551618", 5, -ERANGE, 0},
		{"184467440737095516160", UINT64_MAX, -ERANGE, 0},
		{"36893488147419103232", UINT64_MAX, -ERANGE, 0},
		{"0000000000000000000000000000001", 1, 0, 1},
		{"", UINT64_MAX, -EINVAL, 0},
		{" 1", UINT64_MAX, -EINVAL, 0},
		{"1 ", UINT64_MAX, -EINVAL, 0},
		{"1\n", UINT64_MAX, -EINVAL, 0},
		{"+1", UINT64_MAX, -EINVAL, 0},
		{"-1", UINT64_MAX, -EINVAL, 0},
		{"0x1", UINT64_MAX, -EINVAL, 0},
		{"1e3", UINT64_MAX, -EINVAL, 0},
		{"9999999999999999999999x", UINT64_MAX, -EINVAL, 0},
		{"\xd9\xa1", UINT64_MAX, -EINVAL, 0}, /* a digit of another script */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		uint64_t number = UNTOUCHED;

		assert_int_equal(decimal_read(numbers[i].text, numbers[i].max, &number),
				 numbers[i].error);
		assert_true(number == (numbers[i].error ? UNTOUCHED : numbers[i].number));
	}
}

static void test_number_at_the_head(void **state)
{
	uint64_t number = UNTOUCHED;
	const char *end = NULL;

	(void)state;
	assert_int_equal(decimal_read_head("8000-8100", &end, UINT16_MAX, &number), 0);
	assert_int_equal(number, 8000);
	assert_string_equal(end, "-8100");

	number = UNTOUCHED;
	assert_int_equal(decimal_read_head("70000-", &end, UINT16_MAX, &number), -ERANGE);
	assert_int_equal(number, UNTOUCHED);
	assert_string_equal(end, "-");

	assert_int_equal(decimal_read_head("-1", &end, UINT16_MAX, &number), -EINVAL);
	assert_int_equal(number, UNTOUCHED);
	assert_string_equal(end, "-1");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_numbers),
		cmocka_unit_test(test_number_at_the_head),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
