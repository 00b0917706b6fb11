/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The policies that ship: each compiles, and its own tests pass. */
#include "bench_policy.h"

#include <dirent.h>
#include <fcntl.h>

static void run_tests_of(struct bench *bench, const char *path)
{
	struct policy_source source;
	struct policy_test test;
	struct errors errors = {0};
	uint32_t i;

	if (policy_source_read_at(&source, AT_FDCWD, path, &errors))
		fail_msg("%s", errors.text);
	if (policy_compile(&bench->policy, &source, bench->registry, bench->host, &bench->guest,
			   NULL, NULL, &bench->fault))
		fail_msg("%s", bench->fault.text);
	assert_true(policy_test_count(bench->policy) > 5);
	for (i = 0; i < policy_test_count(bench->policy); i++)
		if (!policy_test_run(bench->policy, i, &test, &bench->decision))
			fail_msg("%s:%u: %s: expected %s, got verdict %u by %s %s: %s", path,
				 test.at.line, test.call_text, test.expect_text,
				 bench->decision.verdict, bench->decision.decider,
				 bench->decision.rule, bench->decision.reason);
	policy_free(bench->policy);
	bench->policy = NULL;
	policy_source_free(&source);
}

static void test_shipped(void **state)
{
	DIR *dir = opendir(POLICY_DIR);
	struct dirent *file;
	struct bench bench;
	char path[600];
	int count = 0;

	(void)state;
	assert_non_null(dir);
	bench_open(&bench, PLUGIN_DIR);
	while ((file = readdir(dir)))
		if (strstr(file->d_name, ".yaml")) {
			snprintf(path, sizeof(path), "%s/%s", POLICY_DIR, file->d_name);
			run_tests_of(&bench, path);
			count++;
		}
	assert_true(count >= 4);
	closedir(dir);
	bench_close(&bench);
}

static void test_failing(void **state)
{
	struct policy_test test;
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	bench_use(&bench, "default: allow\ntests:\n"
			  "- {call: connect 8.8.8.8:1, expect: deny}\n"
			  "- {call: connect 8.8.8.8:1, expect: allow rule}\n"
			  "- {call: connect 8.8.8.8:1, expect: allow default}\n");
	assert_int_equal(policy_test_count(bench.policy), 3);
	assert_false(policy_test_run(bench.policy, 0, &test, &bench.decision));
	assert_int_equal(test.at.line, 6);
	assert_false(policy_test_run(bench.policy, 1, &test, &bench.decision));
	assert_true(policy_test_run(bench.policy, 2, &test, &bench.decision));
	bench_close(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shipped),
		cmocka_unit_test(test_failing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
