/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tests of a policy: how one comes out, what is said of one that fails, that none meets
 * another.
 */
#include "bench_policy.h"

#include <errno.h>

static void test_outcome(void **state)
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

/* What a check of a policy with this text says; empty if nothing. */
static void expect_said(struct bench *bench, const char *text, const char *expected)
{
	struct policy_source source = {.path = (char[]){"p.yaml"}};
	struct errors errors = {0};
	char whole[2048];
	int error;

	source.size = (size_t)snprintf(whole, sizeof(whole),
				       "version: 1\nname: test\nmatch: {name: \"*\"}\n%s", text);
	source.text = whole;
	error = policy_source_check(&source, bench->registry, bench->host, &errors);
	assert_int_equal(error, *expected ? -EINVAL : 0);
	assert_string_equal(errors.text ? errors.text : "", expected);
	errors_free(&errors);
}

static void test_failures_are_told(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	expect_said(
		&bench,
		"chain:\n"
		"- plugin: filter\n"
		"  rules: [{id: web, on: connect, to: {ports: 443}, verdict: allow}]\n"
		"tests:\n"
		"- {call: connect 8.8.8.8:443, expect: allow web}\n"
		"- {call: connect 8.8.8.8:443, expect: deny}\n"
		"- {call: connect 127.0.0.1:443, expect: allow web}\n"
		"- {call: connect 8.8.8.8:80, expect: allow web}\n",
		"p.yaml:9:3: test \"connect 8.8.8.8:443\" failed: it came out as allow by filter "
		"web; expected deny\n"
		"p.yaml:10:3: test \"connect 127.0.0.1:443\" failed: it came out as deny by floor "
		"loopback: 127.0.0.0/8 is the host itself; expected allow web\n"
		"p.yaml:11:3: test \"connect 8.8.8.8:80\" failed: it came out as deny by "
		"default: web: port 80 is not in 443; expected allow web\n");
	bench_close(&bench);
}

/* Limits are for the guest's calls: a policy with tight ones can still have many tests. */
static void test_each_stands_for_itself(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	expect_said(&bench,
		    "default: allow\n"
		    "chain:\n"
		    "- plugin: ratelimit\n"
		    "  limits:\n"
		    "  - {id: hourly, on: [connect, accept], rate: 1/h}\n"
		    "  - {id: one, on: connect, concurrent: 1}\n"
		    "  - {id: each, on: connect, per: destination, rate: 1/h, burst: 1}\n"
		    "tests:\n"
		    "- {call: connect 8.8.8.8:443, expect: allow}\n"
		    "- {call: connect 8.8.8.8:443, expect: allow}\n"
		    "- {call: accept 8.8.8.8:443 at 192.0.2.10:80, expect: allow}\n"
		    "- {call: release, expect: allow}\n"
		    "- {call: connect 8.8.8.8:443, expect: allow}\n",
		    "");
	bench_close(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outcome),
		cmocka_unit_test(test_failures_are_told),
		cmocka_unit_test(test_each_stands_for_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
