/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The policies that ship: each compiles, and its own tests pass. */
#include "bench_policy.h"

#include <dirent.h>
#include <fcntl.h>

static void check(struct bench *bench, const char *path)
{
	struct policy_source source;
	struct errors errors = {0};

	if (policy_source_read_at(&source, AT_FDCWD, path, &errors) ||
	    policy_source_check(&source, bench->registry, bench->host, &errors))
		fail_msg("%s", errors.text);
	if (policy_compile(&bench->policy, &source, bench->registry, bench->host, &bench->guest,
			   NULL, NULL, &bench->fault))
		fail_msg("%s", bench->fault.text);
	assert_true(policy_test_count(bench->policy) > 5);
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
			check(&bench, path);
			count++;
		}
	assert_true(count >= 4);
	closedir(dir);
	bench_close(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
