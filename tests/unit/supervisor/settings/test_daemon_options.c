/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line of pvcallsd. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "supervisor/settings/daemon_options.h"

static int parse_words(struct daemon_options *options, struct fault *fault, int count, ...)
{
	char *argv[16] = {(char[]){"pvcallsd"}};
	va_list words;
	int result;

	va_start(words, count);
	for (int i = 1; i <= count; i++)
		argv[i] = strdup(va_arg(words, const char *));
	va_end(words);
	result = daemon_options_parse(options, count + 1, argv, fault);
	/* Options borrow from argv: compared here, before it goes. */
	if (!result && count >= 2)
		assert_ptr_equal(options->policy_dirs[0], argv[2]);
	for (int i = 1; i <= count; i++)
		free(argv[i]);
	return result;
}

static void options_have_defaults(void **state)
{
	struct daemon_options options;
	struct fault fault;

	(void)state;
	assert_int_equal(parse_words(&options, &fault, 0), 0);
	assert_int_equal(options.policy_dir_count, 3);
	assert_string_equal(options.policy_dirs[1], "/etc/pvcalls/policy.d");
	assert_string_equal(options.state_dir, "/var/lib/pvcalls");
	assert_string_equal(options.runtime_dir, "/run/pvcalls");
	assert_false(options.policy_dirs_given || options.config_given || options.foreground);
	assert_int_equal(options.log_level, LOG_LEVEL_INFO);
}

static void options_replace_directories(void **state)
{
	struct daemon_options options;
	struct fault fault;

	(void)state;
	assert_int_equal(parse_words(&options, &fault, 5, "--policy-dir", "a", "--policy-dir=b",
				     "--log-level=debug", "--foreground"),
			 0);
	assert_int_equal(options.policy_dir_count, 2);
	assert_true(options.policy_dirs_given);
	assert_true(options.foreground);
	assert_int_equal(options.log_level, LOG_LEVEL_DEBUG);
}

static void options_say_what_is_wrong(void **state)
{
	struct daemon_options options;
	struct fault fault;

	(void)state;
	assert_int_equal(parse_words(&options, &fault, 1, "--nope"), -EINVAL);
	assert_non_null(strstr(fault.text, "--nope"));
	assert_int_equal(parse_words(&options, &fault, 1, "--state-dir"), -EINVAL);
	assert_non_null(strstr(fault.text, "missing"));
	assert_int_equal(parse_words(&options, &fault, 1, "word"), -EINVAL);
	assert_int_equal(parse_words(&options, &fault, 1, "--transport=tcp"), -EINVAL);
	assert_non_null(strstr(fault.text, "local or xen"));
	assert_int_equal(parse_words(&options, &fault, 1, "--log-level=loud"), -EINVAL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_have_defaults),
		cmocka_unit_test(options_replace_directories),
		cmocka_unit_test(options_say_what_is_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
