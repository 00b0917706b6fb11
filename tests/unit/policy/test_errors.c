/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is wrong with a policy, and where: every message with its line and column. */
#include "bench_policy.h"

#include <errno.h>
#include <stdlib.h>

/* The three keys that bench_try() puts before a text are lines 1 to 3. */
struct wrong {
	const char *text;
	const char *expected;
};

static const struct wrong wrongs[] = {
	{"colour: red\n", "p.yaml:4:1: unknown key \"colour\"; expected one that a policy knows"},
	{"name: again\n", "p.yaml:4:1: duplicate key \"name\"; expected each key once"},
	{"groups: &a [10.0.0.1]\n", "p.yaml:4:9: an anchor (&a); expected a plain value"},
	{"groups: *a\n", "p.yaml:4:9: an alias (*a); expected the value itself"},
	{"default: !!str deny\n", "p.yaml:4:10: a tag (tag:yaml.org,2002:str); expected"},
	{"groups: !x {a: 10.0.0.1}\n", "p.yaml:4:9: a tag (!x); expected"},
	{"<<: {a: b}\n", "p.yaml:4:1: unknown key \"<<\""},
	{"? [a]\n: b\n", "p.yaml:4:3: a key that is no plain word"},
	{"---\nversion: 1\n", "p.yaml:4:1: a second document; expected one in a file"},
	{"mode: sometimes\n", "p.yaml:4:7: wrong mode; expected enforce or audit"},
	{"default: [deny]\n", "p.yaml:4:10: wrong default; expected deny or allow"},
	{"on_revoke: drain\n", "p.yaml:4:12: on_revoke: drain is not supported yet; expected keep"},
	{"on_revoke: reset\n", "p.yaml:4:12: on_revoke: reset is not supported yet; expected keep"},
	{"on_revoke: never\n", "p.yaml:4:12: wrong on_revoke; expected keep"},
	{"groups: {a: [\"host:api.example.com\"]}\n",
	 "p.yaml:4:14: host names (\"host:api.example.com\") are not supported yet; expected "
	 "addresses"},
	{"groups: {a: [b], b: [c], c: [a]}\n", "group \"a\" contains itself; expected no circle"},
	{"groups: {a: [nobody]}\n", "p.yaml:4:14: unknown group \"nobody\"; expected a name"},
	{"groups: {public: [10.0.0.1]}\n", "p.yaml:4:10: group \"public\" is built in"},
	{"groups: {Up: [10.0.0.1]}\n", "p.yaml:4:10: \"Up\" is no name for a group"},
	{"groups: {a: 10.0.0.1/8}\n",
	 "p.yaml:4:13: \"10.0.0.1/8\": bits behind the prefix are set; expected them to be 0"},
	{"groups: {a: 10.0.0.0/33}\n",
	 "p.yaml:4:13: \"10.0.0.0/33\": bad prefix length; expected /0 to /32"},
	{"groups: {a: 10.0.0.0/08}\n", "bad prefix length"},
	{"groups: {a: 010.0.0.1}\n", "\"010.0.0.1\": no IPv4 address"},
	{"groups: {a: 10.0.0}\n", "\"10.0.0\": no IPv4 address"},
	{"groups: {a: 10.0.0.256}\n", "\"10.0.0.256\": no IPv4 address"},
	{"groups: {a: \"2001:db8::/32\"}\n", "\"2001:db8::/32\" looks like IPv6; expected IPv4"},
	{"groups: {a: \"\"}\n", "no IPv4 address"},
	{"groups: {a: []}\n", "p.yaml:4:13: an empty list; expected at least one entry"},
	{"groups: {a: {b: c}}\n", "p.yaml:4:13: not an address"},
	{"groups: [a]\n", "p.yaml:4:9: groups is no map"},
	{"floor: {allow: [{on: connect, to: {ports: 5432}}]}\n",
	 "p.yaml:4:35: net is missing; expected the addresses to open by name"},
	{"floor: {allow: [{on: accept, to: {net: 127.0.0.1}}]}\n",
	 "p.yaml:4:22: operation accept can not be used here; expected connect, bind"},
	{"floor: {allow: [{to: {net: 127.0.0.1}}]}\n", "p.yaml:4:17: not a rule of the floor"},
	{"floor: {open: []}\n", "p.yaml:4:8: not what opens the floor"},
	{"floor: {allow: [{on: bind, to: {net: 127.0.0.1}, why: x}]}\n",
	 "p.yaml:4:50: unknown key \"why\""},
	{"chain: filter\n", "p.yaml:4:8: not a list; expected the plugins' sections"},
	{"chain: [filter]\n", "p.yaml:4:9: not a plugin's section"},
	{"chain: [{rules: []}]\n", "p.yaml:4:9: not a plugin's section"},
	{"chain: [{plugin: filter}]\n", "p.yaml:4:9: no rules; expected a list of rules"},
	{"chain: [{plugin: filter, rules: [], rulse: []}]\n",
	 "p.yaml:4:37: unknown key \"rulse\"; expected one that filter knows"},
	{"tests: [{call: connect, expect: allow}]\n", "p.yaml:4:16: \"connect\" is no call"},
	{"tests: [{call: connect 1.2.3.4:5, expect: maybe}]\n",
	 "p.yaml:4:43: \"maybe\" can not be expected"},
	{"tests: [{call: connect 1.2.3.4:5}]\n", "p.yaml:4:9: not a test"},
	{"tests: [{call: socket, expect: allow, why: x}]\n", "p.yaml:4:39: unknown key \"why\""},
	{"groups: {a: [\n", "expected YAML"},
	{"mode: \"a\\0b\"\n", "p.yaml:4:7: a NUL byte; expected text"},
	{"mode: \"\\x1b[31m\"\n", "p.yaml:4:7: wrong mode"},
	{"groups: {a: \"\\x1b[31m\"}\n", "p.yaml:4:13: \"?[31m\": no IPv4 address"},
};

static void test_one_by_one(void **state)
{
	struct bench bench;
	size_t i;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	for (i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++)
		bench_refuse(&bench, wrongs[i].text, wrongs[i].expected);
	bench_close(&bench);
}

static const struct wrong rules[] = {
	{"on: connect, verdict: deny", "not a rule; expected a map with id, on and verdict"},
	{"id: a b, on: connect, verdict: deny", "\"a b\" is wrong here; expected an id"},
	{"id: a, on: fly, verdict: deny", "\"fly\" is no operation; expected socket, connect"},
	{"id: a, on: [], verdict: deny", "an empty list; expected at least one operation"},
	{"id: a, on: [bind, bind], verdict: deny", "operation bind twice"},
	{"id: a, on: release, verdict: deny", "operation release can not be used here"},
	{"id: a, on: bind, verdict: drop", "\"drop\" is wrong here; expected one of allow, deny"},
	{"id: a, on: bind, verdict: allow, errno: EPERM", "errno without \"verdict: deny\""},
	{"id: a, on: bind, verdict: deny, errno: EWHAT",
	 "\"EWHAT\" is wrong here; expected an error"},
	{"id: a, on: bind, verdict: deny, errno: EINPROGRESS", "\"EINPROGRESS\" is wrong here"},
	{"id: a, on: bind, verdict: deny, mode: tray", "expected one of enforce, audit"},
	{"id: a, on: accept, to: {ports: 1}, verdict: deny", "\"to\" is for connect and bind only"},
	{"id: a, on: bind, from: {ports: 1}, verdict: deny", "\"from\" is for accept only"},
	{"id: a, on: connect, at: {ports: 1}, verdict: deny", "\"at\" is for bind, listen"},
	{"id: a, on: bind, to: {ports: 65536}, verdict: deny", "\"65536\": no port; expected 0 to"},
	{"id: a, on: bind, to: {ports: 90-80}, verdict: deny",
	 "\"90-80\": the range ends before it begins"},
	{"id: a, on: bind, to: {ports: 08}, verdict: deny", "\"08\": no port"},
	{"id: a, on: bind, to: {ports: []}, verdict: deny",
	 "an empty list; expected at least one port"},
	{"id: a, on: bind, to: {prots: 1}, verdict: deny", "empty; expected net, ports or both"},
	{"id: a, on: bind, to: {ports: 1, nte: x}, verdict: deny", "unknown key \"nte\""},
	{"id: a, on: bind, to: [1], verdict: deny", "not a map; expected {net: addresses"},
	{"id: a, on: bind, verdict: deny, wy: x", "unknown key \"wy\"; expected one that filter"},
};

static void test_rules_of_filter(void **state)
{
	struct bench bench;
	char text[256];
	size_t i;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	for (i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		snprintf(text, sizeof(text), "chain:\n- plugin: filter\n  rules:\n  - {%s}\n",
			 rules[i].text);
		bench_refuse(&bench, text, rules[i].expected);
		assert_non_null(strstr(bench.fault.text, "p.yaml:7:"));
	}
	bench_close(&bench);
}

static void test_all_errors_are_told(void **state)
{
	static char text[] =
		"version: 1\nmode: x\ngroups: {a: b, c: 1.2.3.4.5}\nchain:\n- plugin: filter\n"
		"  rules:\n"
		"  - {id: a, on: connect, to: {net: zz, ports: [1, x]}, verdict: deny}\n"
		"  - {id: a, on: connect, to: {prot: 1}, verdict: allow}\n"
		"- plugin: nobody\n"
		"tests: [{}]\nwhat: ever\n";
	static const char *const lines[] = {
		"p.yaml:1:1: name is missing", "p.yaml:1:1: match is missing",
		"p.yaml:2:7: wrong mode",      "p.yaml:3:13: unknown group \"b\"",
		"p.yaml:3:19: \"1.2.3.4.5\"",  "p.yaml:7:36: unknown group \"zz\"",
		"p.yaml:7:51: \"x\": no port", "p.yaml:8:10: duplicate id \"a\"",
		"p.yaml:8:30: empty",          "p.yaml:9:11: unknown plugin \"nobody\"",
		"p.yaml:10:9: not a test",     "p.yaml:11:1: unknown key \"what\"",
	};
	struct policy_source source = {(char[]){"p.yaml"}, text, sizeof(text) - 1, {0}};
	struct errors errors = {0};
	struct policy *policy;
	struct bench bench;
	size_t i;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	assert_int_equal(policy_compile_telling(&policy, &source, bench.registry, bench.host,
						&bench.guest, NULL, NULL, &errors),
			 -EINVAL);
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		if (!strstr(errors.text, lines[i]))
			fail_msg("not told: %s\n%s", lines[i], errors.text);
	assert_int_equal(errors.count, sizeof(lines) / sizeof(lines[0]));
	errors_free(&errors);
	bench_close(&bench);
}

static void test_more_errors_than_room(void **state)
{
	struct errors errors = {.path = "p.yaml"};
	struct fault fault = {"first"};
	struct position at = {1, 1};

	(void)state;
	assert_int_equal(errors_tell(&errors, &fault), 0);
	for (at.line = 1; at.line <= 300; at.line++)
		errors_add(&errors, at, "wrong");
	errors_add(&errors, (struct position){1, 1}, "wrong"); /* known */
	assert_int_equal(errors.count, 301);
	assert_int_equal(errors_tell(&errors, &fault), -EINVAL);
	assert_int_equal(strncmp(fault.text, "first\np.yaml:1:1: wrong\n", 24), 0);
	assert_non_null(strstr(fault.text, "\n(and "));
	assert_non_null(strstr(fault.text, " more errors)"));
	assert_int_equal(errors_tell(&errors, &fault), -EINVAL); /* full: still an error */
	errors_free(&errors);
}

/* Compiles a whole file. */
static int compile_whole(struct bench *bench, const char *text, size_t size)
{
	struct policy_source source = {.path = (char[]){"p.yaml"}, .size = size};
	struct policy *policy = NULL;
	int result;

	source.text = malloc(size + 1);
	assert_non_null(source.text);
	memcpy(source.text, text, size);
	result = policy_compile(&policy, &source, bench->registry, bench->host, &bench->guest, NULL,
				NULL, &bench->fault);
	policy_free(policy);
	free(source.text);
	return result;
}

static void refuse_whole(struct bench *bench, const char *text, const char *expected)
{
	assert_int_equal(compile_whole(bench, text, strlen(text)), -EINVAL);
	if (!strstr(bench->fault.text, expected))
		fail_msg("said: %s\nexpected: %s", bench->fault.text, expected);
}

static void test_whole_files(void **state)
{
	struct bench bench;
	char deep[400] = "version: 1\nx: ";
	char *large;
	int i;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	refuse_whole(&bench, "", "p.yaml:1:1: empty; expected \"version: 1\" first");
	refuse_whole(&bench, "# nothing\n", "p.yaml:1:1: empty");
	refuse_whole(&bench, "- a\n", "p.yaml:1:1: not a map");
	refuse_whole(&bench, "version: 2\nname: a\nmatch: {name: a}\n",
		     "p.yaml:1:10: unknown version");
	refuse_whole(&bench, "name: a\nmatch: {name: a}\n", "p.yaml:1:1: version is missing");
	refuse_whole(&bench, "version: 1\nmatch: {name: a}\n", "p.yaml:1:1: name is missing");
	refuse_whole(&bench, "version: 1\nname: a\n", "p.yaml:1:1: match is missing");
	refuse_whole(&bench, "version: 1\nname: a/b\nmatch: {name: a}\n", "p.yaml:2:7: not a name");
	refuse_whole(&bench, "version: 1\nname: a\nmatch: {}\n", "p.yaml:3:8: matches nothing");
	refuse_whole(&bench, "version: 1\nname: a\nmatch: {name: \"[z-a]\"}\n",
		     "p.yaml:3:15: not a pattern");
	refuse_whole(&bench, "version: 1\nname: a\nmatch: {domid: [1, x]}\n",
		     "p.yaml:3:20: not a domid");
	refuse_whole(&bench, "version: 1\nname: a\nmatch: {nmae: a}\n",
		     "p.yaml:3:8: matches nothing");
	refuse_whole(&bench, "version: 1\nname: \xff\xfe\n", "p.yaml:2:7: ");
	assert_non_null(strstr(bench.fault.text, "expected UTF-8"));
	refuse_whole(&bench, "%TAG ! tag:x,2000:\n---\nversion: 1\n", "a %TAG directive");
	for (i = 0; i < 40; i++)
		strcat(deep, "[");
	refuse_whole(&bench, deep, "p.yaml:2:19: nested too deep; expected at most 16 levels");
	large = malloc(POLICY_FILE_MAX + 2);
	assert_non_null(large);
	memset(large, '#', POLICY_FILE_MAX + 2);
	assert_int_equal(compile_whole(&bench, large, POLICY_FILE_MAX + 1), -EINVAL);
	assert_string_equal(bench.fault.text,
			    "p.yaml:1:1: larger than 1048576 bytes; expected a smaller file");
	free(large);
	bench_close(&bench);
}

/* A byte-order mark, as some editors put it, is no part of the policy, and only at the start. */
static void test_byte_order_mark(void **state)
{
	static const char good[] = "\xef\xbb\xbfversion: 1\nname: a\nmatch: {name: a}\n";
	static const char wrong[] = "\xef\xbb\xbfversion: 2\nname: a\nmatch: {name: a}\n";
	static const char inside[] = "version: 1\n\xef\xbb\xbfname: a\nmatch: {name: a}\n";
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	assert_int_equal(compile_whole(&bench, good, strlen(good)), 0);
	assert_int_equal(compile_whole(&bench, wrong, strlen(wrong)), -EINVAL);
	assert_non_null(strstr(bench.fault.text, "p.yaml:1:10: "));
	assert_int_equal(compile_whole(&bench, inside, strlen(inside)), -EINVAL);
	bench_close(&bench);
}

/* Files that try to cost time or memory out of all proportion. */
static void test_costly_files(void **state)
{
	uint64_t begin = clock_monotonic_ns();
	struct bench bench;
	size_t used;
	char *text;
	int i;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	text = malloc(POLICY_FILE_MAX);
	assert_non_null(text);
	memset(text, '[', POLICY_FILE_MAX);
	assert_int_equal(compile_whole(&bench, text, POLICY_FILE_MAX), -EINVAL);
	used = 0;
	for (i = 0; i < 2000; i++)
		used += (size_t)snprintf(text + used, POLICY_FILE_MAX - used, "k%d: 1\n", i);
	assert_int_equal(compile_whole(&bench, text, used), -EINVAL);
	assert_non_null(strstr(bench.fault.text, "p.yaml:1025:1: too many keys"));
	/* One large group, named very often. */
	used = (size_t)snprintf(text, POLICY_FILE_MAX,
				"version: 1\nname: a\nmatch: {name: a}\ngroups:\n  g: [");
	for (i = 0; i < 30000; i++)
		used += (size_t)snprintf(text + used, POLICY_FILE_MAX - used, "10.%d.%d.%d,",
					 i >> 8, i & 255, 2 * (i % 100));
	used += (size_t)snprintf(text + used, POLICY_FILE_MAX - used, "]\n  h: [");
	for (i = 0; i < 100000; i++)
		used += (size_t)snprintf(text + used, POLICY_FILE_MAX - used, "g,");
	used += (size_t)snprintf(text + used, POLICY_FILE_MAX - used, "]\n");
	assert_int_equal(compile_whole(&bench, text, used), -EINVAL);
	assert_non_null(strstr(bench.fault.text, "too many addresses"));
	free(text);
	assert_true(clock_monotonic_ns() - begin < 20 * NS_PER_S);
	bench_close(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_by_one),
		cmocka_unit_test(test_rules_of_filter),
		cmocka_unit_test(test_all_errors_are_told),
		cmocka_unit_test(test_more_errors_than_room),
		cmocka_unit_test(test_whole_files),
		cmocka_unit_test(test_byte_order_mark),
		cmocka_unit_test(test_costly_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
