/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What plugins count: by name, bounded, and said where the bound bites. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "policy/plugin_host/counters.h"

static const char *written(const struct counters *counters)
{
	static char text[16384];
	size_t used = counters_write(counters, text, sizeof(text) - 1);

	text[used] = '\0';
	return text;
}

static void test_sums_are_kept(void **state)
{
	struct counters before = {0};
	struct counters after = {0};

	(void)state;
	counters_add(&before, "plugin", "calls", 3);
	counters_add(&before, "plugin", "no name", 5);
	counters_inherit(&after, &before);
	counters_add(&after, "plugin", "calls", 4);
	assert_string_equal(written(&after), "plugin.calls 7\n");
	counters_free(&before);
	counters_free(&after);
}

static void test_names_left_out_are_counted(void **state)
{
	struct counters counters = {0};
	char name[16];
	unsigned int i;

	(void)state;
	for (i = 0; i < COUNTERS_MAX + 2; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		counters_add(&counters, "plugin", name, 1);
	}
	assert_non_null(strstr(written(&counters), "plugin.n255 1\n"));
	assert_null(strstr(written(&counters), "plugin.n256"));
	assert_non_null(strstr(written(&counters), COUNTERS_LEFT_OUT " 2\n"));
	counters_free(&counters);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sums_are_kept),
		cmocka_unit_test(test_names_left_out_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
