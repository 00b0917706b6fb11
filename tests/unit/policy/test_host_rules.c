/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The built-in host rules: what it denies, what opens it, and what never does. */
#include "bench_policy.h"

#include "policy/host_rules.h"

#define ALLOW_ALL "default: allow\n"

static void expect_host_rule(struct bench *bench, const char *call, const char *rule)
{
	bool in_use = strcmp(rule, "host-port") == 0;

	bench_expect(bench, call, VERDICT_DENY, "floor", rule);
	assert_int_equal(bench->decision.error, in_use ? -98 : -13);
}

static void test_connect(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	bench_use(&bench, ALLOW_ALL);
	expect_host_rule(&bench, "connect 127.0.0.1:22", "loopback");
	expect_host_rule(&bench, "connect 127.255.255.254:80", "loopback");
	expect_host_rule(&bench, "connect 0.0.0.0:80", "unspecified");
	expect_host_rule(&bench, "connect 0.1.2.3:80", "unspecified");
	expect_host_rule(&bench, "connect 169.254.169.254:80", "link-local");
	expect_host_rule(&bench, "connect 224.0.0.1:80", "multicast");
	expect_host_rule(&bench, "connect 239.255.255.255:80", "multicast");
	expect_host_rule(&bench, "connect 240.0.0.1:80", "reserved");
	expect_host_rule(&bench, "connect 255.255.255.255:80", "reserved");
	expect_host_rule(&bench, "connect 192.0.2.10:80", "host-address");
	expect_host_rule(&bench, "connect 10.9.0.1:80", "host-address");
	expect_host_rule(&bench, "connect 8.8.8.8:0", "port-zero");
	assert_int_equal(bench_ask(&bench, "connect 8.8.8.8:80"), VERDICT_ALLOW);
	assert_int_equal(bench_ask(&bench, "connect 126.255.255.255:80"), VERDICT_ALLOW);
	assert_int_equal(bench_ask(&bench, "connect 192.0.2.11:80"), VERDICT_ALLOW);
	bench_close(&bench);
}

static void test_bind_and_listen(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	bench_use(&bench, ALLOW_ALL);
	expect_host_rule(&bench, "bind 0.1.2.3:8080", "unspecified");
	expect_host_rule(&bench, "bind 0.0.0.0:80", "low-port");
	expect_host_rule(&bench, "bind 0.0.0.0:8443", "host-port");
	expect_host_rule(&bench, "bind 127.0.0.1:8080", "loopback");
	expect_host_rule(&bench, "bind 169.254.1.1:8080", "link-local");
	expect_host_rule(&bench, "bind 224.0.0.1:8080", "multicast");
	expect_host_rule(&bench, "bind 255.255.255.255:8080", "reserved");
	expect_host_rule(&bench, "bind 192.0.2.10:80", "low-port");
	expect_host_rule(&bench, "bind 192.0.2.10:1023", "low-port");
	expect_host_rule(&bench, "bind 192.0.2.10:22", "host-port");
	expect_host_rule(&bench, "bind 192.0.2.10:8443", "host-port");
	assert_int_equal(bench_ask(&bench, "bind 192.0.2.10:1024"), VERDICT_ALLOW);
	assert_int_equal(bench_ask(&bench, "bind 10.9.0.1:0"), VERDICT_ALLOW);
	assert_int_equal(bench_ask(&bench, "bind 0.0.0.0:8080"), VERDICT_ALLOW);
	assert_int_equal(bench_ask(&bench, "bind 0.0.0.0:0"), VERDICT_ALLOW);
	assert_false(bench.decision.only_connects); /* "default: allow" is for any port */
	assert_int_equal(bench_ask(&bench, "listen 0.0.0.0:8080"), VERDICT_ALLOW);
	expect_host_rule(&bench, "listen", "unbound");
	expect_host_rule(&bench, "listen 0.0.0.0:0", "unbound");
	assert_int_equal(bench_ask(&bench, "listen 192.0.2.10:8080"), VERDICT_ALLOW);
	assert_int_equal(bench_ask(&bench, "accept 127.0.0.1:9 at 192.0.2.10:8080"), VERDICT_ALLOW);
	expect_host_rule(&bench, "accept 127.0.0.1:9 at 127.0.0.1:8080", "loopback");
	expect_host_rule(&bench, "accept 10.9.0.1:9 at 127.3.2.1:8080", "loopback");
	bench_close(&bench);
}

/* 0.0.0.0 is what rules say of the port; without one it is as any other. */
static void test_unspecified_takes_a_rule(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	bench_use(&bench,
		  "chain:\n- plugin: filter\n  rules:\n"
		  "  - {id: serve, on: [bind, listen], at: {ports: 8080}, verdict: allow}\n");
	bench_expect(&bench, "bind 0.0.0.0:8080", VERDICT_ALLOW, "filter", "serve");
	bench_expect(&bench, "listen 0.0.0.0:8080", VERDICT_ALLOW, "filter", "serve");
	bench_expect(&bench, "bind 0.0.0.0:8081", VERDICT_DENY, "default", "default");
	/* What the host listens on is not told to who may not have it anyway. */
	bench_expect(&bench, "bind 0.0.0.0:8443", VERDICT_DENY, "default", "default");
	assert_int_equal(bench.decision.error, -13);
	bench_close(&bench);
}

static uint32_t ask_listen_of_free_bind(struct bench *bench, const char *listen)
{
	assert_int_equal(policy_test_read_call(listen, &bench->call), 0);
	bench->call.guest = &bench->guest;
	bench->call.flags = PVCALLS_CALL_BOUND_WITHOUT_RULE;
	policy_decide(bench->policy, &bench->call, &bench->decision);
	return bench->decision.verdict;
}

/* Nor does it become one at loopback where the chain allows everything; what opens that does. */
static void test_bind_to_loopback_before_a_connect(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	bench_use(&bench, ALLOW_ALL);
	bench_expect(&bench, "bind 127.0.0.2:0", VERDICT_ALLOW, "default", "default");
	assert_true(bench.decision.only_connects);
	assert_int_equal(ask_listen_of_free_bind(&bench, "listen 127.0.0.2:0"), VERDICT_DENY);
	assert_string_equal(bench.decision.rule, "loopback");
	bench_expect(&bench, "bind 10.9.0.1:0", VERDICT_ALLOW, "default", "default");
	assert_false(bench.decision.only_connects);
	expect_host_rule(&bench, "bind 169.254.3.4:0", "link-local");
	bench_use(&bench,
		  ALLOW_ALL "floor: {allow: [{on: bind, to: {net: 127.0.0.2, ports: 0}}]}\n");
	bench_expect(&bench, "bind 127.0.0.2:0", VERDICT_ALLOW, "default", "default");
	assert_false(bench.decision.only_connects);
	bench_close(&bench);
}

/* A bind to port 0 before a connect is free; it must not become a listener that no rule allows. */
static void test_bind_before_a_connect(void **state)
{
	static const char rules[] =
		"chain:\n- plugin: filter\n  rules:\n"
		"  - {id: none, on: bind, at: {net: 192.0.2.10}, verdict: deny}\n"
		"  - {id: any, on: bind, at: {net: 8.8.8.8, ports: 0}, verdict: allow}\n"
		"  - {id: listen, on: listen, verdict: allow}\n";
	struct bench bench;
	char text[512];

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	bench_use(&bench, rules);
	bench_expect(&bench, "bind 0.0.0.0:0", VERDICT_ALLOW, "default", "");
	assert_true(bench.decision.only_connects);
	bench_expect(&bench, "bind 10.9.0.1:0", VERDICT_ALLOW, "default", "");
	bench_expect(&bench, "bind 8.8.8.8:0", VERDICT_ALLOW, "filter", "any");
	assert_false(bench.decision.only_connects);
	bench_expect(&bench, "bind 192.0.2.10:0", VERDICT_DENY, "filter", "none");
	bench_expect(&bench, "bind 127.0.0.1:0", VERDICT_ALLOW, "default", "");
	assert_true(bench.decision.only_connects);
	bench_expect(&bench, "listen 10.9.0.1:43210", VERDICT_ALLOW, "filter", "listen");
	assert_int_equal(ask_listen_of_free_bind(&bench, "listen 0.0.0.0:0"), VERDICT_DENY);
	assert_string_equal(bench.decision.reason,
			    "bound to port 0 without a rule for that: only to connect");
	snprintf(text, sizeof(text), "mode: audit\n%s", rules);
	bench_use(&bench, text);
	bench_expect(&bench, "bind 0.0.0.0:0", VERDICT_ALLOW, "default", "");
	assert_int_equal(ask_listen_of_free_bind(&bench, "listen 0.0.0.0:0"), VERDICT_WOULD_DENY);
	assert_int_equal(ask_listen_of_free_bind(&bench, "listen 127.0.0.1:0"), VERDICT_DENY);
	policy_free(bench.policy);
	assert_int_equal(policy_deny_all(&bench.policy, bench.host, &bench.guest, NULL), 0);
	bench_expect(&bench, "bind 0.0.0.0:0", VERDICT_DENY, "default", "default");
	bench_close(&bench);
}

/* What was opened for a bind is open to accept at, too, in each way to open it. */
static void test_accept_at_loopback(void **state)
{
	static const char *const opened[] = {"127.0.0.1, ports: 8080", "127.0.0.1, ports: 0",
					     "0.0.0.0, ports: 8080", "any"};
	struct bench bench;
	char text[256];
	size_t i;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	for (i = 0; i < 4; i++) {
		snprintf(text, sizeof(text),
			 ALLOW_ALL "floor: {allow: [{on: bind, to: {net: %s}}]}\n", opened[i]);
		bench_use(&bench, text);
		assert_int_equal(bench_ask(&bench, "accept 127.0.0.1:9 at 127.0.0.1:8080"),
				 VERDICT_ALLOW);
	}
	bench_use(&bench,
		  ALLOW_ALL "floor: {allow: [{on: bind, to: {net: 127.0.0.1, ports: 80}}]}");
	expect_host_rule(&bench, "accept 127.0.0.1:9 at 127.0.0.1:8080", "loopback");
	bench_close(&bench);
}

/* A low port takes two things: the policy's opening, and the engine's right. */
static void test_low_ports(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	bench_use(&bench,
		  ALLOW_ALL "floor: {allow: [{on: bind, to: {net: 192.0.2.10, ports: 80}}]}\n");
	assert_int_equal(bench_ask(&bench, "bind 192.0.2.10:80"), VERDICT_ALLOW);
	host_view_set_first_port(bench.host, 1024);
	expect_host_rule(&bench, "bind 192.0.2.10:80", "low-port");
	assert_non_null(strstr(bench.decision.reason, "engine: {low_ports: true}"));
	expect_host_rule(&bench, "bind 192.0.2.10:81", "low-port");
	assert_non_null(strstr(bench.decision.reason, "under floor"));
	assert_int_equal(bench_ask(&bench, "bind 192.0.2.10:1024"), VERDICT_ALLOW);
	assert_int_equal(bench_ask(&bench, "bind 192.0.2.10:0"), VERDICT_ALLOW);
	bench_close(&bench);
}

static void test_opened_by_name(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	bench_use(&bench, ALLOW_ALL "groups: {db: [127.0.0.1]}\n"
				    "floor:\n  allow:\n"
				    "    - {on: connect, to: {net: db, ports: 5432}}\n"
				    "    - {on: bind, to: {net: 0.0.0.0/0, ports: [80, 22]}}\n");
	bench_expect(&bench, "connect 127.0.0.1:5432", VERDICT_ALLOW, "default", "default");
	expect_host_rule(&bench, "connect 127.0.0.1:5433", "loopback");
	expect_host_rule(&bench, "connect 127.0.0.2:5432", "loopback");
	expect_host_rule(&bench, "bind 127.0.0.1:5432", "loopback");
	bench_expect(&bench, "bind 0.0.0.0:80", VERDICT_ALLOW, "default", "default");
	bench_expect(&bench, "listen 0.0.0.0:80", VERDICT_ALLOW, "default", "default");
	expect_host_rule(&bench, "bind 0.0.0.0:22", "host-port"); /* opened, but the host's */
	bench_use(&bench, ALLOW_ALL "floor: {allow: [{on: connect, to: {net: any}}]}\n");
	expect_host_rule(&bench, "connect 8.8.8.8:0", "port-zero");
	bench_expect(&bench, "connect 192.0.2.10:22", VERDICT_ALLOW, "default", "default");
	bench_close(&bench);
}

static void test_audit_does_not_open(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	bench_use(&bench, "mode: audit\n" ALLOW_ALL);
	expect_host_rule(&bench, "connect 127.0.0.1:22", "loopback");
	expect_host_rule(&bench, "bind 192.0.2.10:22", "host-port");
	expect_host_rule(&bench, "listen", "unbound");
	bench_close(&bench);
}

/* Forms that the wire can not carry, should one ever reach the host rules. */
static void test_other_families(void **state)
{
	struct pvcalls_call call = {.op = PVCALLS_OP_CONNECT,
				    .effective = {.family = 10, .port = 80, .addr = {0x20, 1}}};
	struct host_rules rules = {NULL, NULL};

	(void)state;
	assert_string_equal(host_rules_judge(&rules, &call).rule, "family");
	call.effective = (struct pvcalls_endpoint){
		.family = 2, .port = 80, .addr = {[10] = 255, [11] = 255, [12] = 127, [15] = 1}};
	assert_string_equal(host_rules_judge(&rules, &call).rule, "family");
	call.op = PVCALLS_OP_BIND;
	call.effective.family = 0;
	assert_string_equal(host_rules_judge(&rules, &call).rule, "family");
}

/* Without a host to ask, nothing is reached. */
static void test_unknown_host(void **state)
{
	struct host_view *host;
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	host = bench.host;
	bench.host = NULL;
	bench_use(&bench, ALLOW_ALL);
	expect_host_rule(&bench, "connect 8.8.8.8:80", "host-unknown");
	expect_host_rule(&bench, "bind 192.0.2.10:8080", "host-unknown");
	bench.host = host;
	bench_close(&bench);
}

static void test_deny_all(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	assert_int_equal(policy_deny_all(&bench.policy, bench.host, &bench.guest, NULL), 0);
	bench_expect(&bench, "socket", VERDICT_DENY, "default", "default");
	assert_string_equal(bench.decision.reason, "no policy is for this guest");
	bench_expect(&bench, "connect 8.8.8.8:80", VERDICT_DENY, "default", "default");
	bench_expect(&bench, "accept 8.8.8.8:80", VERDICT_DENY, "default", "default");
	bench_expect(&bench, "poll", VERDICT_DENY, "default", "default");
	assert_int_equal(bench_ask(&bench, "release"), VERDICT_ALLOW);
	bench_close(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connect),
		cmocka_unit_test(test_bind_and_listen),
		cmocka_unit_test(test_opened_by_name),
		cmocka_unit_test(test_audit_does_not_open),
		cmocka_unit_test(test_other_families),
		cmocka_unit_test(test_unknown_host),
		cmocka_unit_test(test_deny_all),
		cmocka_unit_test(test_unspecified_takes_a_rule),
		cmocka_unit_test(test_bind_before_a_connect),
		cmocka_unit_test(test_bind_to_loopback_before_a_connect),
		cmocka_unit_test(test_accept_at_loopback),
		cmocka_unit_test(test_low_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
