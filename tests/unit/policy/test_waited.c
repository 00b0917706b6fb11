/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A call that has waited: the host rules look again at the host as it is by then. */
#include "bench_policy.h"

#include <errno.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "policy/policy_state.h"

#define DELAYS                                                                                \
	"default: allow\nchain:\n  - plugin: ratelimit\n    limits:\n"                        \
	"      - {id: slow, on: [connect, bind, listen], rate: 1/s, burst: 1, over: delay}\n" \
	"      - {id: egress, direction: out, bandwidth: 1MB/s}\n"
#define OPENS "floor: {allow: [{on: connect, to: {net: 198.51.100.7}}]}\n"

/* Asks twice, so that the second call is one that has to wait. */
static void bench_delay(struct bench *bench, const char *call)
{
	bench_ask(bench, call);
	assert_int_equal(bench_ask(bench, call), VERDICT_ALLOW);
	assert_true(bench->decision.delay_ns > 0);
}

/* Judges anew; what came of it is in bench->decision. */
static bool bench_judge(struct bench *bench)
{
	return policy_judge_waited(bench->policy, &bench->call, &bench->decision);
}

static void expect_denial(const struct bench *bench, const char *rule)
{
	assert_int_equal(bench->decision.verdict, VERDICT_DENY);
	assert_int_equal(bench->decision.error, strcmp(rule, "host-port") ? -EACCES : -EADDRINUSE);
	assert_string_equal(bench->decision.decider, "floor");
	assert_string_equal(bench->decision.rule, rule);
	assert_true(bench->decision.reason[0]);
	assert_true(bench->decision.delay_ns == 0);
	assert_int_equal(bench->decision.meter_in, 0);
	assert_int_equal(bench->decision.meter_out, 0);
}

/* The host gets an address while a connect to it waits. */
static void test_address_added(void **state)
{
	static const char *const addresses[] = {"127.0.0.0/8", "198.51.100.7"};
	struct host_view *before;
	struct decision decision;
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	bench_use(&bench, DELAYS);
	bench_delay(&bench, "connect 198.51.100.7:80");
	assert_true(bench.decision.meter_out > 0);
	decision = bench.decision;
	assert_false(bench_judge(&bench));
	assert_memory_equal(&decision, &bench.decision, sizeof(decision));

	before = bench.host;
	assert_int_equal(host_view_fixed(&bench.host, addresses, 2, NULL, 0), 0);
	bench.policy->rules.host = bench.host;
	assert_true(bench_judge(&bench));
	expect_denial(&bench, "host-address");
	assert_int_equal(bench.decision.effective.port, 80);
	assert_memory_equal(bench.decision.effective.addr, ((uint8_t[]){198, 51, 100, 7}), 4);
	assert_false(bench.decision.rewritten);
	host_view_close(before);
	bench_close(&bench);
}

/* What is opened by name stays open; what a rewrite moved is judged where it goes. */
static void test_opened_and_rewritten(void **state)
{
	static const char *const addresses[] = {"198.51.100.7", "198.51.100.8"};
	struct host_view *before;
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	bench_use(&bench, DELAYS "  - plugin: rewrite\n    rewrites:\n"
				 "      - {id: move, on: connect, to: {net: 203.0.113.5}, "
				 "set: {address: 198.51.100.8}}\n" OPENS);
	before = bench.host;
	bench_delay(&bench, "connect 198.51.100.7:80");
	assert_int_equal(host_view_fixed(&bench.host, addresses, 2, NULL, 0), 0);
	bench.policy->rules.host = bench.host;
	assert_false(bench_judge(&bench));
	assert_true(bench.decision.delay_ns > 0);

	bench.policy->rules.host = before;
	bench_delay(&bench, "connect 203.0.113.5:80");
	assert_true(bench.decision.rewritten);
	bench.policy->rules.host = bench.host;
	assert_true(bench_judge(&bench));
	expect_denial(&bench, "host-address");
	assert_true(bench.decision.rewritten);
	assert_memory_equal(bench.decision.effective.addr, ((uint8_t[]){198, 51, 100, 8}), 4);
	host_view_close(before);
	bench_close(&bench);
}

/* A policy that only tries its chain out does not try the host rules out. */
static void test_would_deny(void **state)
{
	static const char *const addresses[] = {"198.51.100.7"};
	struct host_view *before;
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	bench_use(&bench, "mode: audit\n");
	before = bench.host;
	assert_int_equal(bench_ask(&bench, "connect 198.51.100.7:80"), VERDICT_WOULD_DENY);
	assert_int_equal(host_view_fixed(&bench.host, addresses, 1, NULL, 0), 0);
	bench.policy->rules.host = bench.host;
	assert_true(bench_judge(&bench));
	expect_denial(&bench, "host-address");
	host_view_close(before);
	bench_close(&bench);
}

/* The host begins to listen on a port while a bind to it waits: the real host, a real socket. */
static void test_port_taken(void **state)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct host_view *fixed;
	struct bench bench;
	char call[40];

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	fixed = bench.host;
	if (host_view_open(&bench.host, 0, 0, &bench.fault))
		fail_msg("%s", bench.fault.text);
	bench_use(&bench, DELAYS);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	snprintf(call, sizeof(call), "bind 192.0.2.10:%u", ntohs(address.sin_port));
	bench_delay(&bench, call);
	assert_false(bench_judge(&bench));
	assert_int_equal(listen(fd, 1), 0);
	assert_true(bench_judge(&bench));
	expect_denial(&bench, "host-port");
	close(fd);
	host_view_close(fixed);
	bench_close(&bench);
}

/* listen is judged by the socket's address of now; operations without an address never. */
static void test_listen_and_others(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	bench_use(&bench, DELAYS);
	bench_delay(&bench, "listen 192.0.2.10:8080");
	assert_false(bench_judge(&bench));
	memset(&bench.call.local, 0, sizeof(bench.call.local));
	assert_true(bench_judge(&bench));
	expect_denial(&bench, "unbound");
	bench.policy->rules.host = NULL;
	assert_int_equal(bench_ask(&bench, "socket"), VERDICT_ALLOW);
	assert_false(bench_judge(&bench));
	assert_int_equal(bench_ask(&bench, "accept 127.0.0.1:9 at 192.0.2.10:8080"), VERDICT_ALLOW);
	assert_false(bench_judge(&bench));
	bench_close(&bench);
}

/* The kernel does not tell of changes any more: the view's first descriptor is taken from it. */
static void test_host_unknown(void **state)
{
	int lowest = dup(STDERR_FILENO);
	struct host_view *fixed;
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	fixed = bench.host;
	close(lowest);
	if (host_view_open(&bench.host, 0, 0, &bench.fault))
		fail_msg("%s", bench.fault.text);
	bench_use(&bench, DELAYS);
	bench_delay(&bench, "connect 198.51.100.7:80");
	assert_false(bench_judge(&bench));
	assert_int_equal(dup2(STDERR_FILENO, lowest), lowest);
	assert_true(bench_judge(&bench));
	expect_denial(&bench, "host-unknown");
	host_view_close(fixed);
	bench_close(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_address_added),
		cmocka_unit_test(test_opened_and_rewritten),
		cmocka_unit_test(test_would_deny),
		cmocka_unit_test(test_port_taken),
		cmocka_unit_test(test_listen_and_others),
		cmocka_unit_test(test_host_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
