/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The real pvcalls-audit on a call whose address was changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/clock.h"
#include "call/call.h"
#include "trail_harness.h"

static struct folder folder;
static char output[8192]; /* of the last run */

static struct pvcalls_endpoint endpoint(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint16_t port)
{
	return (struct pvcalls_endpoint){.family = 2, .port = port, .addr = {a, b, c, d}};
}

/* A trail of one rewritten call. */
static int setup(void **state)
{
	(void)state;
	struct fault fault = {0};
	struct store *store = NULL;
	folder_make(&folder);
	struct store_options options = store_in(&folder);
	struct audit_identity identity = identity_of("alpha", 11);
	struct audit_record record = {.op = PVCALLS_OP_CONNECT,
				      .wall_ns = 1767312000ull * NS_PER_S,
				      .verdict = VERDICT_ALLOW,
				      .rewritten = 1,
				      .decider = "filter",
				      .rule = "dns-out",
				      .rewriter = "rewrite",
				      .rewrite_rule = "dns"};
	int64_t queue = 0;
	uint64_t place = 0;
	bool finished = false;
	record.requested = endpoint(8, 8, 8, 8, 53);
	record.effective = endpoint(10, 0, 0, 53, 53);
	assert_int_equal(store_open(&store, &options, &fault), 0);
	assert_int_equal(store_queue(store, &identity, &queue, &place, &finished, &fault), 0);
	assert_int_equal(store_call(store, queue, &record, true, &fault), 0);
	assert_int_equal(store_commit(store, &fault), 0);
	store_close(store);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	folder_remove(&folder);
	return 0;
}

/* What the program prints when it is run with arguments as a shell reads them. */
static const char *show(const char *arguments)
{
	char command[512];
	snprintf(command, sizeof(command), "%s --trail %s %s 2>&1", PVCALLS_AUDIT, folder.path,
		 arguments);
	FILE *pipe = popen(command, "re"); /* NOLINT(cert-env33-c): arguments are this file's */
	assert_non_null(pipe);
	output[fread(output, 1, sizeof(output) - 1, pipe)] = '\0';
	int status = pclose(pipe);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
	return output;
}

static void test_people_see_both_addresses(void **state)
{
	(void)state;
	static const char *const formats[] = {"-o table", "-o compact"};
	for (size_t i = 0; i < 2; i++) {
		setenv("LC_ALL", "C", 1);
		assert_non_null(
			strstr(show(formats[i]), " 8.8.8.8:53 -> 10.0.0.53:53 (rewrite/dns) "));
		assert_non_null(strstr(output, "connect"));
		assert_non_null(strstr(output, "filter/dns-out"));
		setenv("LC_ALL", "C.UTF-8", 1);
		assert_non_null(strstr(show(formats[i]),
				       " 8.8.8.8:53 \xe2\x86\x92 10.0.0.53:53 (rewrite/dns) "));
	}
	unsetenv("LC_ALL");
}

static void test_programs_have_columns(void **state)
{
	(void)state;
	json_t *row = json_loads(show("-o jsonl"), 0, NULL);
	assert_string_equal(json_string_value(json_object_get(row, "requested_address")),
			    "8.8.8.8");
	assert_string_equal(json_string_value(json_object_get(row, "rewriter")), "rewrite");
	assert_string_equal(json_string_value(json_object_get(row, "rewrite_rule")), "dns");
	json_decref(row);
	assert_non_null(strstr(show("-o csv"), ",rewriter,rewrite_rule,"));
	assert_non_null(strstr(output, ",\"rewrite\",\"dns\","));
}

static void test_filters_find_them(void **state)
{
	(void)state;
	assert_true(strncmp(show("-o compact --rewriter 'rew*' --rewrite-rule dns"), "1 ", 2) == 0);
	assert_string_equal(show("-o compact --rewrite-rule other"), "");
	assert_string_equal(show("-o compact --not --rewriter rewrite"), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_people_see_both_addresses),
		cmocka_unit_test(test_programs_have_columns),
		cmocka_unit_test(test_filters_find_them),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
