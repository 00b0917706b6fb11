/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Loading plugins, good and bad, and what becomes of calls when one is faulty. */
#include "bench_policy.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/offsets-1.0.h"
#include "call/hook_mark.h"

static void test_descriptors(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, BAD_PLUGIN_DIR);
	bench_refuse(&bench, "chain: [{plugin: wrongabi}]\n",
		     "wrongabi.so: made for plugin ABI 2; expected 1: build it again");
	assert_non_null(strstr(bench.fault.text, "p.yaml:4:18: "));
	bench_refuse(&bench, "chain: [{plugin: wrongsize}]\n", "descriptor of 16 bytes; expected");
	bench_refuse(&bench, "chain: [{plugin: wrongname}]\n",
		     "calls itself \"other\"; expected its file's name, \"wrongname\"");
	bench_refuse(&bench, "chain: [{plugin: wrongops}]\n", "operations 0x80; expected");
	bench_refuse(&bench, "chain: [{plugin: wronghooks}]\n", "a hook is missing");
	bench_refuse(&bench, "chain: [{plugin: wrongobject}]\n", "no plugin; expected an exported");
	bench_refuse(&bench, "chain: [{plugin: nobody}]\n",
		     "p.yaml:4:18: unknown plugin \"nobody\"");
	bench_close(&bench);
}

static void test_old_plugin(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, BAD_PLUGIN_DIR);
	bench_use(&bench, "chain: [{plugin: old}]\n");
	bench_expect(&bench, "connect 8.8.8.8:80", VERDICT_ALLOW, "old", "o");
	bench_expect(&bench, "connect 8.8.8.8:81", VERDICT_DENY, "default", "default");
	bench_close(&bench);
}

static void expect_fault(struct bench *bench, const char *how, const char *call, const char *reason)
{
	char text[200];

	snprintf(text, sizeof(text), "mode: audit\nchain: [{plugin: faulty, how: %s}]\n", how);
	bench_use(bench, text);
	bench_ask(bench, call);
	if (bench->decision.verdict != VERDICT_FAULT || bench->decision.error != -EACCES ||
	    strcmp(bench->decision.decider, "faulty") != 0 ||
	    !strstr(bench->decision.reason, reason))
		fail_msg("%s: verdict %u by %s: %s", how, bench->decision.verdict,
			 bench->decision.decider, bench->decision.reason);
}

static void test_faults_deny(void **state)
{
	struct bench bench;
	char metrics[512];

	(void)state;
	bench_open(&bench, BAD_PLUGIN_DIR);
	expect_fault(&bench, "kind", "connect 8.8.8.8:80", "unknown verdict");
	expect_fault(&bench, "errno", "connect 8.8.8.8:80", "errno that is unknown");
	expect_fault(&bench, "inprogress", "accept 8.8.8.8:80", "ends no call");
	expect_fault(&bench, "again", "connect 8.8.8.8:80", "ends no call");
	expect_fault(&bench, "again", "socket", "ends no call");
	expect_fault(&bench, "flags", "connect 8.8.8.8:80", "unknown flags");
	expect_fault(&bench, "sleep", "connect 8.8.8.8:80", "at most 5000 are allowed");
	expect_fault(&bench, "rewrite", "listen 8.8.8.8:80", "without an address");
	expect_fault(&bench, "rewrite", "connect 8.8.8.8:80", "no IPv4 address");
	expect_fault(&bench, "rewrite6", "connect 8.8.8.8:80", "no IPv4 address");
	expect_fault(&bench, "mapped", "connect 8.8.8.8:80", "no IPv4 address");
	expect_fault(&bench, "delay", "connect 8.8.8.8:80", "over 30 s");
	expect_fault(&bench, "check", "connect 8.8.8.8:80", "may only deny or defer");
	metrics[policy_metrics(bench.policy, metrics, sizeof(metrics) - 1)] = '\0';
	assert_non_null(strstr(metrics, "faulty.faults 13\n")); /* kept across reloads */
	bench_close(&bench);
}

/* What plugins count is named for them, and what is no metric is left out. */
static void test_metrics(void **state)
{
	static const char *const none[] = {"bad", "space", " 3", "neg", "word", "odd", "no name"};
	struct bench bench;
	char text[512];
	size_t i;

	(void)state;
	bench_open(&bench, BAD_PLUGIN_DIR);
	bench_use(&bench, "chain: [{plugin: faulty, how: count}]\n");
	bench_ask(&bench, "connect 8.8.8.8:80");
	bench_use(&bench, "chain: [{plugin: faulty, how: count}]\n");
	bench_ask(&bench, "connect 8.8.8.8:80");
	text[policy_metrics(bench.policy, text, sizeof(text) - 1)] = '\0';
	assert_non_null(strstr(text, "faulty.asked 4\n")); /* kept across reloads */
	assert_non_null(strstr(text, "faulty.good 7\nfaulty.last 9\n"));
	for (i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		assert_null(strstr(text, none[i]));
	assert_in_range(policy_metrics(bench.policy, text, 20), 0, 20);
	bench_use(&bench, "chain: [{plugin: faulty, how: boast}]\n");
	text[policy_metrics(bench.policy, text, sizeof(text) - 1)] = '\0';
	assert_non_null(strstr(text, "faulty.asked 4\n"));
	assert_null(strstr(text, "good"));
	bench_close(&bench);
}

/* A hypervisor may take the processor away once, and the kernel counts it as the plugin's time. */
static void test_using_the_processor_for_long_denies_the_second_time(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, BAD_PLUGIN_DIR);
	bench_use(&bench, "chain: [{plugin: faulty, how: spin}]\n");
	assert_int_equal(bench_ask(&bench, "connect 8.8.8.8:80"), VERDICT_ALLOW);
	assert_int_equal(bench_ask(&bench, "connect 8.8.8.8:80"), VERDICT_FAULT);
	assert_non_null(strstr(bench.decision.reason, "at most 5000 are allowed"));
	assert_int_equal(bench_ask(&bench, "connect 8.8.8.8:80"), VERDICT_FAULT);
	bench_close(&bench);
}

static void test_release_is_never_denied(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, BAD_PLUGIN_DIR);
	bench_use(&bench, "chain: [{plugin: faulty, how: deny}]\n");
	assert_int_equal(bench_ask(&bench, "release"), VERDICT_WOULD_DENY);
	assert_int_equal(bench.decision.error, 0);
	assert_string_equal(bench.decision.reason, "fault: a release can not be denied");
	bench_use(&bench, "chain: [{plugin: faulty, how: kind}]\n");
	assert_int_equal(bench_ask(&bench, "release"), VERDICT_WOULD_DENY);
	bench_use(&bench, "chain: [{plugin: faulty, how: deny}]\n");
	assert_int_equal(bench_ask(&bench, "poll"), VERDICT_DENY);
	assert_int_equal(bench_ask(&bench, "socket"), VERDICT_DENY);
	bench_close(&bench);
}

static void test_texts_are_ended(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, BAD_PLUGIN_DIR);
	bench_use(&bench, "chain: [{plugin: faulty, how: unended}]\n");
	assert_int_equal(bench_ask(&bench, "connect 8.8.8.8:80"), VERDICT_ALLOW);
	assert_int_equal(strlen(bench.decision.rule), PVCALLS_RULE_MAX - 1);
	assert_int_equal(strlen(bench.decision.reason), PVCALLS_REASON_MAX - 1);
	bench_close(&bench);
}

static void test_create_without_reason(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, BAD_PLUGIN_DIR);
	bench_refuse(&bench, "chain: [{plugin: faulty, how: refuse}]\n",
		     "p.yaml:4:9: plugin faulty refused its section and did not say why");
	bench_refuse(&bench, "chain: [{plugin: faulty, how: deny, hwo: deny}]\n",
		     "p.yaml:4:37: unknown key \"hwo\"");
	bench_close(&bench);
}

static void test_unsafe_directory(void **state)
{
	struct plugin_registry *registry;
	char directory[] = "/tmp/test_plugin.XXXXXX";
	struct fault fault;

	(void)state;
	assert_non_null(mkdtemp(directory));
	assert_int_equal(chmod(directory, 0777), 0);
	assert_int_equal(plugin_registry_load(&registry, directory, &fault), -EPERM);
	assert_non_null(strstr(fault.text, "writable by group or others (mode 0777)"));
	assert_int_equal(rmdir(directory), 0);
	assert_int_equal(plugin_registry_load(&registry, directory, &fault), -ENOENT);
}

static void test_unsafe_file(void **state)
{
	struct plugin_registry *registry;
	char directory[] = "/tmp/test_plugin.XXXXXX";
	struct fault fault;
	char path[64];
	FILE *file;

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/loose.so", directory);
	file = fopen(path, "w");
	assert_non_null(file);
	fclose(file);
	assert_int_equal(chmod(path, 0666), 0);
	assert_int_equal(plugin_registry_load(&registry, directory, &fault), 0);
	assert_null(plugin_registry_find(registry, "loose", &fault));
	assert_non_null(strstr(fault.text, "writable by group or others (mode 0666)"));
	plugin_registry_free(registry);
	unlink(path);
	assert_int_equal(symlink(PLUGIN_DIR "/filter.so", path), 0);
	assert_int_equal(plugin_registry_load(&registry, directory, &fault), 0);
	assert_null(plugin_registry_find(registry, "loose", &fault));
	assert_non_null(strstr(fault.text, "a symbolic link"));
	plugin_registry_free(registry);
	unlink(path);
	rmdir(directory);
}

/* A registry's plugins have their mark, which no other's touch. */
static void test_hooks_are_marked(void **state)
{
	struct bench benches[2];
	struct hook_mark marks[2] = {{.kind = HOOK_KIND_NONE}};
	struct hook_mark copy;
	uint32_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		bench_open(&benches[i], i ? BAD_PLUGIN_DIR : PLUGIN_DIR);
		plugin_registry_mark_hooks(benches[i].registry, &marks[i]);
	}
	bench_use(&benches[0], "chain: [{plugin: filter, rules: []}]\n");
	assert_string_equal(marks[0].plugin, "filter");
	assert_string_equal(marks[1].plugin, "");
	bench_use(&benches[1], "chain: [{plugin: old}]\n");
	memset(&marks[1], 0, sizeof(marks[1]));
	bench_ask(&benches[0], "connect 8.8.8.8:80");
	assert_string_equal(marks[1].plugin, "");
	bench_ask(&benches[1], "connect 8.8.8.8:80");
	assert_string_equal(marks[0].plugin, "filter");
	assert_string_equal(marks[1].plugin, "old");
	for (i = 0; i < 2; i++) {
		assert_false(hook_mark_read(&marks[i], &copy)); /* it is over */
		bench_close(&benches[i]);
	}
}

static void test_describe(void **state)
{
	struct fault fault;
	char text[512];

	(void)state;
	assert_int_equal(plugin_describe(PLUGIN_DIR "/filter.so", text, sizeof(text), &fault), 0);
	assert_non_null(strstr(text, "name: filter\nversion: 1.0\nabi: 1.0\n"));
	assert_non_null(strstr(text, "hooks: decide check explain"));
	assert_int_equal(plugin_describe(PLUGIN_DIR "/filter.so", text, 20, &fault), -ENOSPC);
	assert_int_equal(plugin_describe("/etc/passwd", text, sizeof(text), &fault), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_old_plugin),
		cmocka_unit_test(test_faults_deny),
		cmocka_unit_test(test_metrics),
		cmocka_unit_test(test_using_the_processor_for_long_denies_the_second_time),
		cmocka_unit_test(test_release_is_never_denied),
		cmocka_unit_test(test_texts_are_ended),
		cmocka_unit_test(test_create_without_reason),
		cmocka_unit_test(test_unsafe_directory),
		cmocka_unit_test(test_unsafe_file),
		cmocka_unit_test(test_hooks_are_marked),
		cmocka_unit_test(test_describe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
