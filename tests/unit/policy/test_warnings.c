/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is said of policies that are valid and can't have been meant: rules that never speak. */
#include "bench_policy.h"

#include <errno.h>

#define HEAD   "version: 1\nname: test\nmatch: {name: \"*\"}\n"
#define FILTER "chain:\n- plugin: filter\n  rules:\n"

/* The check of a policy passes, and warns with these words; empty: of nothing. */
static void expect_warning(struct bench *bench, const char *text, const char *expected)
{
	struct policy_source source = {.path = (char[]){"p.yaml"}};
	struct errors warnings = {0};
	struct errors errors = {.warnings = &warnings};
	char whole[2048];

	source.size = (size_t)snprintf(whole, sizeof(whole), HEAD "%s", text);
	source.text = whole;
	assert_int_equal(policy_source_check(&source, bench->registry, bench->host, &errors), 0);
	assert_string_equal(warnings.text ? warnings.text : "", expected);
	errors_free(&errors);
	errors_free(&warnings);
}

#define HIDDEN(place, rule, by)                 \
	"p.yaml:" place ": warning: rule " rule \
	" can never speak: what it is for is matched before it, as by rule " by "\n"

static void test_rules_that_are_hidden(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	/* By a wider one; by several that only together are wider; by one without conditions. */
	expect_warning(&bench,
		       FILTER "  - {id: a, on: connect, to: {net: 10.0.0.0/8}, verdict: allow}\n"
			      "  - {id: b, on: connect, to: {net: 10.1.0.0/16, ports: 22}, "
			      "verdict: deny}\n",
		       HIDDEN("8:5", "b", "a"));
	expect_warning(&bench,
		       FILTER "  - {id: a, on: connect, to: {net: 10.0.0.0/9}, verdict: allow}\n"
			      "  - {id: b, on: connect, to: {net: 10.128.0.0/9}, verdict: allow}\n"
			      "  - {id: c, on: connect, to: {net: 10.0.0.0/8}, verdict: deny}\n",
		       HIDDEN("9:5", "c", "a"));
	expect_warning(&bench,
		       FILTER "  - {id: a, on: [connect, listen], verdict: allow}\n"
			      "  - {id: b, on: connect, to: {ports: 22}, verdict: deny}\n"
			      "  - {id: c, on: listen, at: {ports: 22}, verdict: deny}\n",
		       HIDDEN("8:5", "b", "a") HIDDEN("9:5", "c", "a"));
	/* A bind has one end, however a rule writes it. */
	expect_warning(&bench,
		       FILTER "  - {id: a, on: bind, to: {ports: 1024-65535}, verdict: allow}\n"
			      "  - {id: b, on: bind, at: {ports: 8080}, verdict: deny}\n",
		       HIDDEN("8:5", "b", "a"));
	expect_warning(&bench,
		       FILTER "  - {id: a, on: accept, verdict: allow}\n"
			      "  - {id: b, on: accept, from: {net: 10.0.0.1}, at: {ports: 80}, "
			      "verdict: deny}\n",
		       HIDDEN("8:5", "b", "a"));
	bench_close(&bench);
}

static void test_rules_that_speak(void **state)
{
	static const char *const policies[] = {
		/* The narrow one first; each with something of its own; another operation. */
		FILTER "  - {id: a, on: connect, to: {net: 10.1.0.0/16}, verdict: deny}\n"
		       "  - {id: b, on: connect, to: {net: 10.0.0.0/8}, verdict: allow}\n",
		FILTER
		"  - {id: a, on: connect, to: {net: 10.0.0.0/8, ports: 80}, verdict: allow}\n"
		"  - {id: b, on: connect, to: {net: 10.0.0.0/8, ports: 80-81}, verdict: deny}\n",
		FILTER "  - {id: a, on: connect, to: {net: 10.0.0.0/8}, verdict: allow}\n"
		       "  - {id: b, on: bind, to: {net: 10.0.0.0/8}, verdict: deny}\n",
		/* A rule on trial hides nothing of what is enforced. */
		FILTER "  - {id: a, on: connect, verdict: deny, mode: audit}\n"
		       "  - {id: b, on: connect, to: {ports: 80}, verdict: allow}\n",
		/* Both ends count. */
		FILTER "  - {id: a, on: accept, from: {net: 10.0.0.0/8}, at: {ports: 80}, "
		       "verdict: allow}\n"
		       "  - {id: b, on: accept, from: {net: 10.0.0.0/8}, verdict: deny}\n",
		/* What is left over, at the end of the list. */
		FILTER "  - {id: a, on: connect, to: {net: 0.0.0.0/0}, verdict: allow}\n"
		       "  - {id: b, on: [connect, bind], verdict: deny}\n",
	};
	struct bench bench;
	size_t i;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	for (i = 0; i < sizeof(policies) / sizeof(policies[0]); i++)
		expect_warning(&bench, policies[i], "");
	bench_close(&bench);
}

/* A deny that speaks for one operation, and not for the one that matters. */
static void test_rules_that_are_hidden_in_part(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	expect_warning(&bench,
		       FILTER
		       "  - {id: a, on: connect, to: {net: 10.0.0.0/8}, verdict: allow}\n"
		       "  - {id: b, on: [connect, bind], to: {net: 10.0.0.1}, verdict: deny}\n",
		       "p.yaml:8:5: warning: rule b can never speak for connect: what it is for is "
		       "matched before it, as by rule a\n");
	bench_close(&bench);
}

static void test_rules_on_trial_that_are_hidden(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	expect_warning(&bench,
		       FILTER "  - {id: a, on: connect, to: {net: private}, verdict: allow}\n"
			      "  - {id: b, on: connect, to: {net: 10.0.0.0/8}, verdict: deny, "
			      "mode: audit}\n",
		       HIDDEN("8:5", "b", "a"));
	bench_close(&bench);
}

static void test_rewrites_that_are_hidden(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	expect_warning(
		&bench,
		"chain:\n- plugin: rewrite\n  rewrites:\n"
		"  - {id: a, on: connect, to: {ports: 53}, set: {port: 54}}\n"
		"  - {id: b, on: connect, to: {net: 8.8.8.8, ports: 53}, set: {port: 55}}\n"
		"  - {id: c, on: connect, to: {net: 8.8.8.8}, set: {port: 56}}\n",
		"p.yaml:8:5: warning: rewrite b can never be used: what it is for is matched "
		"before it, as by rewrite a\n");
	bench_close(&bench);
}

/* What the check of a list says of its last policy, for guests of this `match`. */
static void expect_list(struct bench *bench, const char *first, const char *second,
			const char *expected)
{
	struct policy_source sources[2] = {{.path = (char[]){"a.yaml"}},
					   {.path = (char[]){"b.yaml"}}};
	struct source_list list = {.sources = sources, .count = 2};
	struct fault fault = {""};
	char texts[2][256];

	sources[0].size = (size_t)snprintf(texts[0], sizeof(texts[0]),
					   "version: 1\nname: one\nmatch: {%s}\n", first);
	sources[1].size = (size_t)snprintf(texts[1], sizeof(texts[1]),
					   "version: 1\nname: two\nmatch: {%s}\n", second);
	sources[0].text = texts[0];
	sources[1].text = texts[1];
	assert_int_equal(source_list_check(&list, bench->registry, bench->host, &fault), 0);
	assert_string_equal(fault.text, expected);
}

static void test_policies_that_no_guest_gets(void **state)
{
	static const char unused[] =
		"b.yaml:3:8: warning: policy two is never used: all its guests "
		"get policy one of a.yaml";
	static const char *const hidden[][2] = {
		{"name: g", "name: g"},
		{"name: '*'", "name: g"},
		{"name: 'g*'", "name: 'g-?'"},
		{"name: 'g*'", "name: [g1, 'g2*']"},
		{"name: [a, 'b*']", "name: [b1, a]"},
		{"name: '*'", "domid: 3"},
		{"domid: [3, 4]", "domid: 4"},
		{"name: g", "name: g, domid: 4"},
	};
	static const char *const used[][2] = {
		{"name: g", "name: 'g*'"},        {"name: 'g?'", "name: 'g*'"},
		{"name: g", "domid: 3"},          {"name: g, domid: 4", "name: g"},
		{"name: [a, b]", "name: [a, c]"}, {"name: 'g*'", "name: '?g'"},
	};
	struct bench bench;
	size_t i;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	for (i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
		expect_list(&bench, hidden[i][0], hidden[i][1], unused);
	for (i = 0; i < sizeof(used) / sizeof(used[0]); i++)
		expect_list(&bench, used[i][0], used[i][1], "");
	bench_close(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules_that_are_hidden),
		cmocka_unit_test(test_rules_that_speak),
		cmocka_unit_test(test_rules_that_are_hidden_in_part),
		cmocka_unit_test(test_rules_on_trial_that_are_hidden),
		cmocka_unit_test(test_rewrites_that_are_hidden),
		cmocka_unit_test(test_policies_that_no_guest_gets),
	};

	return cmocka_run_group_tests_name("warnings", tests, NULL, NULL);
}
