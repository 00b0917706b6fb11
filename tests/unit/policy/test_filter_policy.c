/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Policies whose chain is a filter, from text to verdict. */
#include "bench_policy.h"

static const char web[] =
	"groups:\n"
	"  upstreams: [10.20.0.0/16, 198.51.100.7]\n"
	"  nested: [upstreams, 10.30.0.0/24]\n"
	"chain:\n"
	"  - plugin: filter\n"
	"    rules:\n"
	"      - {id: no-smtp, on: connect, to: {ports: [25]}, verdict: deny, errno: ECONNREFUSED}\n"
	"      - {id: out, on: connect, to: {net: [nested, public], ports: [443, 8000-8100]}, "
	"verdict: allow}\n"
	"      - {id: serve, on: [bind, listen], at: {ports: [8080]}, verdict: allow}\n"
	"      - {id: near, on: accept, from: {net: 10.0.0.0/8}, at: {ports: 8080}, verdict: allow}\n"
	"      - {id: far, on: accept, from: {net: [198.51.100.0/24]}, verdict: allow}\n";

/* Answers that a program takes for a connect that goes on, and for which operations they are none.
 */
static void test_errno_that_ends_nothing(void **state)
{
	static const char *const always[] = {"EINPROGRESS", "EALREADY"};
	static const char *const connects[] = {"EAGAIN", "EINTR", "EISCONN", "EINPROGRESS",
					       "EALREADY"};
	static const char *const ops[] = {"connect", "socket", "[accept, connect]"};
	static const char format[] = "chain:\n- plugin: filter\n  rules:\n"
				     "  - {id: r, on: %s, verdict: deny, errno: %s}\n";
	struct bench bench;
	char text[200];
	size_t i;
	size_t k;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	for (i = 0; i < 3; i++)
		for (k = 0; k < 5; k++) {
			snprintf(text, sizeof(text), format, ops[i], connects[k]);
			bench_refuse(&bench, text, "takes this one for a connect that goes on");
		}
	for (k = 0; k < 2; k++) {
		snprintf(text, sizeof(text), format, "accept", always[k]);
		bench_refuse(&bench, text, "takes this one for a connect that goes on");
	}
	snprintf(text, sizeof(text), format, "[accept, bind, listen]", "EAGAIN");
	bench_use(&bench, text);
	snprintf(text, sizeof(text), format, "connect", "EHOSTUNREACH");
	bench_use(&bench, text);
	bench_close(&bench);
}

static void test_first_match(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	bench_use(&bench, web);
	bench_expect(&bench, "connect 10.20.1.1:443", VERDICT_ALLOW, "filter", "out");
	bench_expect(&bench, "connect 10.30.0.9:8050", VERDICT_ALLOW, "filter", "out");
	bench_expect(&bench, "connect 8.8.8.8:25", VERDICT_DENY, "filter", "no-smtp");
	assert_int_equal(bench.decision.error, -111);
	bench_expect(&bench, "bind 192.0.2.10:8080", VERDICT_ALLOW, "filter", "serve");
	bench_expect(&bench, "listen 192.0.2.10:8080", VERDICT_ALLOW, "filter", "serve");
	bench_expect(&bench, "accept 10.1.1.1:999 at 192.0.2.10:8080", VERDICT_ALLOW, "filter",
		     "near");
	bench_expect(&bench, "accept 10.1.1.1:999 at 192.0.2.10:8081", VERDICT_DENY, "default",
		     "default");
	bench_expect(&bench, "accept 198.51.100.1:999 at 192.0.2.10:8081", VERDICT_ALLOW, "filter",
		     "far");
	bench_expect(&bench, "socket", VERDICT_ALLOW, "default", "");
	bench_expect(&bench, "release", VERDICT_ALLOW, "default", "");
	bench_expect(&bench, "poll", VERDICT_ALLOW, "default", "");
	bench_close(&bench);
}

static void test_near_misses(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	bench_use(&bench, web);
	bench_expect(&bench, "connect 10.20.1.1:8443", VERDICT_DENY, "default", "default");
	assert_string_equal(bench.decision.reason, "out: port 8443 is not in 443, 8000-8100");
	assert_int_equal(bench.decision.error, -13);
	bench_expect(&bench, "connect 10.99.1.1:443", VERDICT_DENY, "default", "default");
	assert_string_equal(bench.decision.reason,
			    "out: address 10.99.1.1 is not in nested, public");
	bench_expect(&bench, "accept 11.0.0.1:9 at 192.0.2.10:8081", VERDICT_DENY, "default",
		     "default");
	assert_string_equal(bench.decision.reason,
			    "far: address 11.0.0.1 is not in 198.51.100.0/24");
	bench_use(&bench, "chain: []\n");
	bench_expect(&bench, "connect 10.20.1.1:8443", VERDICT_DENY, "default", "default");
	assert_string_equal(bench.decision.reason, "no rule of policy test allows it");
	bench_close(&bench);
}

static void expect_reason(struct bench *bench, const char *call, const char *reason)
{
	bench_expect(bench, call, VERDICT_DENY, "default", "default");
	assert_string_equal(bench->decision.reason, reason);
}

/* A rule for this operation is nearer than any for another, whatever else it asks for. */
static void test_near_misses_of_the_operation(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	bench_use(
		&bench,
		"chain:\n- plugin: filter\n  rules:\n"
		"  - {id: clients, on: accept, from: {net: private}, verdict: allow}\n"
		"  - {id: pair, on: accept, from: {net: 8.8.8.8}, at: {ports: 8080}, verdict: "
		"allow}\n"
		"  - {id: serve, on: [bind, listen], at: {ports: [8080]}, verdict: allow}\n"
		"  - {id: web, on: connect, to: {net: public, ports: [80, 443]}, verdict: allow}\n"
		"- plugin: filter\n  rules:\n"
		"  - {id: late, on: connect, to: {net: 10.1.2.3, ports: 25}, verdict: allow}\n");
	expect_reason(&bench, "connect 8.8.8.8:22", "web: port 22 is not in 80, 443");
	expect_reason(&bench, "connect 10.1.2.4:443", "web: address 10.1.2.4 is not in public");
	expect_reason(&bench, "connect 10.1.2.4:22",
		      "web: address 10.1.2.4 is not in public; port 22 is not in 80, 443");
	expect_reason(&bench, "connect 10.1.2.3:22", "late: port 22 is not in 25");
	expect_reason(&bench, "bind 10.1.2.3:9090", "serve: port 9090 is not in 8080");
	expect_reason(&bench, "listen 10.1.2.3:9090", "serve: port 9090 is not in 8080");
	expect_reason(&bench, "accept 8.8.8.8:1 at 10.1.2.3:9090",
		      "pair: port 9090 is not in 8080");
	expect_reason(&bench, "accept 8.8.4.4:1 at 10.1.2.3:8080",
		      "clients: address 8.8.4.4 is not in private");
	bench_use(&bench,
		  "chain:\n- plugin: filter\n  rules:\n"
		  "  - {id: serve, on: [bind, listen], at: {ports: 8080}, verdict: allow}\n"
		  "  - {id: pair, on: accept, from: {net: 8.8.8.8}, at: {ports: 8080}, verdict: "
		  "allow}\n");
	expect_reason(&bench, "accept 8.8.4.4:1 at 10.1.2.3:8080",
		      "pair: address 8.8.4.4 is not in 8.8.8.8");
	expect_reason(&bench, "accept 8.8.4.4:1 at 10.1.2.3:8081",
		      "pair: address 8.8.4.4 is not in 8.8.8.8");
	/* Where there is no rule for it, another may tell what was meant. */
	expect_reason(&bench, "connect 8.8.4.4:80", "no rule of policy test allows it");
	bench_use(&bench, "chain:\n- plugin: filter\n  rules:\n"
			  "  - {id: all, on: [bind, connect], verdict: allow}\n");
	expect_reason(&bench, "accept 8.8.4.4:1 at 10.1.2.3:8081",
		      "all: operation accept is not in connect, bind");
	bench_close(&bench);
}

static void test_port_ranges_are_numbers(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	bench_use(&bench, "chain:\n- plugin: filter\n  rules:\n"
			  "  - {id: r, on: connect, to: {ports: 900-10000}, verdict: allow}\n");
	bench_expect(&bench, "connect 8.8.8.8:1000", VERDICT_ALLOW, "filter", "r");
	bench_expect(&bench, "connect 8.8.8.8:9999", VERDICT_ALLOW, "filter", "r");
	bench_expect(&bench, "connect 8.8.8.8:90", VERDICT_DENY, "default", "default");
	bench_expect(&bench, "connect 8.8.8.8:10001", VERDICT_DENY, "default", "default");
	bench_close(&bench);
}

static void test_audit_of_one_rule(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	bench_use(&bench,
		  "chain:\n- plugin: filter\n  rules:\n"
		  "  - {id: try, on: connect, to: {ports: 80}, verdict: deny, mode: audit}\n"
		  "  - {id: soon, on: connect, to: {ports: 81}, verdict: allow, mode: audit}\n"
		  "  - {id: hard, on: connect, to: {net: 8.8.8.8}, verdict: deny}\n"
		  "  - {id: web, on: connect, to: {ports: [80, 443]}, verdict: allow}\n");
	bench_expect(&bench, "connect 8.8.4.4:80", VERDICT_WOULD_DENY, "filter", "try");
	assert_int_equal(bench.decision.error, 0);
	bench_expect(&bench, "connect 8.8.8.8:80", VERDICT_DENY, "filter", "hard");
	bench_expect(&bench, "connect 8.8.4.4:443", VERDICT_ALLOW, "filter", "web");
	bench_expect(&bench, "connect 8.8.4.4:81", VERDICT_DENY, "default", "default");
	assert_string_equal(bench.decision.reason, "soon would allow it, but has mode: audit");
	bench_close(&bench);
}

static void test_audit_of_all(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	bench_use(&bench, "mode: audit\nchain:\n- plugin: filter\n  rules:\n"
			  "  - {id: no, on: connect, to: {ports: 25}, verdict: deny}\n"
			  "  - {id: web, on: connect, to: {ports: 443}, verdict: allow}\n");
	bench_expect(&bench, "connect 8.8.8.8:25", VERDICT_WOULD_DENY, "filter", "no");
	bench_expect(&bench, "connect 8.8.8.8:26", VERDICT_WOULD_DENY, "default", "default");
	assert_string_equal(bench.decision.reason, "web: port 26 is not in 443");
	bench_expect(&bench, "connect 8.8.8.8:443", VERDICT_ALLOW, "filter", "web");
	bench_expect(&bench, "connect 127.0.0.1:443", VERDICT_DENY, "floor", "loopback");
	bench_expect(&bench, "connect 192.0.2.10:25", VERDICT_DENY, "floor", "host-address");
	bench_close(&bench);
}

/* 0.0.0.0 means the host's addresses but loopback: who may not have one may not have all. */
static void test_all_addresses(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	bench_use(&bench,
		  "chain:\n- plugin: filter\n  rules:\n"
		  "  - {id: first, on: bind, at: {ports: 8070}, verdict: allow}\n"
		  "  - {id: lo, on: bind, to: {net: loopback}, verdict: deny}\n"
		  "  - {id: not-here, on: bind, to: {net: 198.51.100.0/24}, verdict: deny}\n"
		  "  - {id: lan, on: [bind, listen], at: {net: 10.9.0.0/16, ports: 8080}, "
		  "verdict: deny}\n"
		  "  - {id: wan, on: bind, to: {net: 192.0.2.10, ports: [8070, 8090]}, "
		  "verdict: deny, mode: audit}\n"
		  "  - {id: rest, on: [bind, listen], at: {ports: [8060-8099]}, "
		  "verdict: allow}\n");
	bench_expect(&bench, "bind 0.0.0.0:8060", VERDICT_ALLOW, "filter", "rest");
	bench_expect(&bench, "bind 0.0.0.0:8070", VERDICT_ALLOW, "filter", "first");
	bench_expect(&bench, "bind 0.0.0.0:8080", VERDICT_DENY, "filter", "lan");
	bench_expect(&bench, "listen 0.0.0.0:8080", VERDICT_DENY, "filter", "lan");
	bench_expect(&bench, "bind 192.0.2.10:8080", VERDICT_ALLOW, "filter", "rest");
	bench_expect(&bench, "bind 10.9.0.1:8081", VERDICT_ALLOW, "filter", "rest");
	bench_expect(&bench, "bind 0.0.0.0:8090", VERDICT_WOULD_DENY, "filter", "wan");
	bench_expect(&bench, "bind 0.0.0.0:0", VERDICT_ALLOW, "default", "");
	bench_use(&bench, "chain:\n- plugin: filter\n  rules:\n"
			  "  - {id: lan, on: bind, at: {net: 10.9.0.0/16}, verdict: deny}\n"
			  "  - {id: any, on: [bind, listen], verdict: allow}\n");
	bench_expect(&bench, "bind 0.0.0.0:0", VERDICT_ALLOW, "filter", "any");
	assert_true(bench.decision.only_connects);
	bench_expect(&bench, "bind 192.0.2.10:0", VERDICT_ALLOW, "filter", "any");
	assert_false(bench.decision.only_connects);
	bench_expect(&bench, "bind 10.9.0.1:0", VERDICT_DENY, "filter", "lan");
	bench_close(&bench);
}

/* Port 0 of all addresses is free before a connect, and opens no address that a rule denies. */
static void test_port_zero_beside_a_deny(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	bench_use(&bench, "default: allow\nchain:\n- plugin: filter\n  rules:\n"
			  "  - {id: lan, on: bind, at: {net: 10.9.0.1}, verdict: deny}\n");
	bench_expect(&bench, "bind 0.0.0.0:0", VERDICT_ALLOW, "default", "default");
	assert_true(bench.decision.only_connects);
	assert_int_equal(bench_ask(&bench, "listen 0.0.0.0:40000"), VERDICT_ALLOW);
	bench.call.flags = PVCALLS_CALL_BOUND_WITHOUT_RULE;
	policy_decide(bench.policy, &bench.call, &bench.decision);
	assert_int_equal(bench.decision.verdict, VERDICT_DENY);
	bench_use(&bench,
		  "default: allow\nchain:\n- plugin: filter\n  rules:\n"
		  "  - {id: lan, on: bind, at: {net: 10.9.0.1, ports: 8080}, verdict: deny}\n");
	bench_expect(&bench, "bind 0.0.0.0:0", VERDICT_ALLOW, "default", "default");
	assert_false(bench.decision.only_connects);
	bench_use(
		&bench,
		"default: allow\nchain:\n- plugin: filter\n  rules:\n"
		"  - {id: lan, on: bind, at: {net: 10.9.0.1}, verdict: deny}\n"
		"- plugin: rewrite\n  rewrites:\n"
		"  - {id: r, on: bind, to: {ports: 0}, set: {address: 192.0.2.10, port: 8080}}\n");
	bench_expect(&bench, "bind 0.0.0.0:0", VERDICT_ALLOW, "default", "default");
	assert_false(bench.decision.only_connects);
	bench_close(&bench);
}

static void test_default_allow(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	bench_use(&bench, "default: allow\n");
	bench_expect(&bench, "connect 8.8.8.8:25", VERDICT_ALLOW, "default", "default");
	bench_expect(&bench, "connect 127.0.0.1:25", VERDICT_DENY, "floor", "loopback");
	bench_close(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errno_that_ends_nothing),
		cmocka_unit_test(test_first_match),
		cmocka_unit_test(test_near_misses),
		cmocka_unit_test(test_near_misses_of_the_operation),
		cmocka_unit_test(test_port_ranges_are_numbers),
		cmocka_unit_test(test_audit_of_one_rule),
		cmocka_unit_test(test_audit_of_all),
		cmocka_unit_test(test_all_addresses),
		cmocka_unit_test(test_port_zero_beside_a_deny),
		cmocka_unit_test(test_default_allow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
