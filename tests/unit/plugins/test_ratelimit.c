/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ratelimit: rates, sockets at a time, bandwidth, and what a reload keeps. */
#include "bench_policy.h"

#include <stdlib.h>

#include "base/meter.h"
#include "policy/plugin_host/allowances.h"

#define ALLOW_ALL                      \
	"- plugin: filter\n  rules:\n" \
	"  - {id: all, on: [connect, bind, listen, accept], verdict: allow}\n"

static uint32_t count_allowed(struct bench *bench, const char *call, int times)
{
	uint32_t allowed = 0;

	while (times--)
		allowed += bench_ask(bench, call) == VERDICT_ALLOW;
	return allowed;
}

static void test_rate(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	bench_use(&bench, "chain:\n- plugin: ratelimit\n  limits:\n"
			  "  - {id: r, on: connect, rate: 10/s, burst: 5}\n" ALLOW_ALL);
	bench.now_ns = 1000 * NS_PER_S;
	assert_int_equal(count_allowed(&bench, "connect 8.8.8.8:1", 20), 5);
	bench_expect(&bench, "connect 8.8.8.8:1", VERDICT_DENY, "ratelimit", "r");
	assert_int_equal(bench.decision.error, -111);
	bench_expect(&bench, "bind 192.0.2.10:8080", VERDICT_ALLOW, "filter", "all");
	bench.now_ns += 200 * NS_PER_MS; /* two events */
	assert_int_equal(count_allowed(&bench, "connect 8.8.8.8:1", 20), 2);
	bench.now_ns += 60 * NS_PER_S; /* no more than the burst */
	assert_int_equal(count_allowed(&bench, "connect 8.8.8.8:1", 20), 5);
	bench_close(&bench);
}

static void test_delay(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	bench_use(&bench,
		  "chain:\n- plugin: ratelimit\n  limits:\n"
		  "  - {id: r, on: connect, rate: 10/s, burst: 1, over: delay}\n" ALLOW_ALL);
	bench.now_ns = 1000 * NS_PER_S;
	bench_ask(&bench, "connect 8.8.8.8:1");
	assert_int_equal(bench.decision.delay_ns, 0);
	bench_ask(&bench, "connect 8.8.8.8:1");
	assert_int_equal(bench.decision.delay_ns, 100 * NS_PER_MS);
	assert_int_equal(bench.decision.verdict, VERDICT_ALLOW);
	bench_ask(&bench, "connect 8.8.8.8:1");
	assert_int_equal(bench.decision.delay_ns, 200 * NS_PER_MS);
	/* 30 s are the most that a call is made to wait. */
	assert_int_equal(count_allowed(&bench, "connect 8.8.8.8:1", 1000), 298);
	bench_close(&bench);
}

static void test_per_destination(void **state)
{
	struct bench bench;
	char call[64];
	uint32_t allowed = 0;
	int i;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	bench_use(&bench,
		  "chain:\n- plugin: ratelimit\n  limits:\n"
		  "  - {id: d, on: connect, per: destination, rate: 1/m, burst: 2}\n" ALLOW_ALL);
	bench.now_ns = 1000 * NS_PER_S;
	assert_int_equal(count_allowed(&bench, "connect 8.8.8.8:1", 5), 2);
	assert_int_equal(count_allowed(&bench, "connect 8.8.4.4:1", 5), 2);
	/* More destinations than there are buckets: those that can't be counted are denied. */
	for (i = 0; i < 20000; i++) {
		snprintf(call, sizeof(call), "connect 20.1.%d.%d:1", i / 256, i % 256);
		allowed += bench_ask(&bench, call) == VERDICT_ALLOW;
	}
	assert_in_range(allowed, 3500, 4096);
	assert_int_equal(count_allowed(&bench, "connect 8.8.8.8:1", 1), 0);
	/* When buckets are full again, their places are. */
	bench.now_ns += 121 * NS_PER_S;
	assert_int_equal(count_allowed(&bench, "connect 8.8.8.8:1", 3), 2);
	assert_int_equal(count_allowed(&bench, "connect 9.9.9.9:1", 3), 2);
	bench_close(&bench);
}

static const char concurrent[] = "chain:\n- plugin: ratelimit\n  limits:\n"
				 "  - {id: open, on: [connect, accept], concurrent: 3}\n" ALLOW_ALL;

static void fail_last(struct bench *bench, int32_t result)
{
	policy_observe(bench->policy, &bench->call, &bench->decision, result);
}

static void test_concurrent(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	bench_use(&bench, concurrent);
	assert_int_equal(bench_ask_on(&bench, "connect 8.8.8.8:1", 1), VERDICT_ALLOW);
	assert_int_equal(bench_ask_on(&bench, "connect 8.8.8.8:1", 2), VERDICT_ALLOW);
	assert_int_equal(bench_ask_on(&bench, "accept 8.8.8.8:1 at 192.0.2.10:80", 3),
			 VERDICT_ALLOW);
	assert_int_equal(bench_ask_on(&bench, "connect 8.8.8.8:1", 4), VERDICT_DENY);
	assert_string_equal(bench.decision.rule, "open");
	bench_ask_on(&bench, "release", 99); /* of a socket that holds nothing */
	assert_int_equal(bench_ask_on(&bench, "connect 8.8.8.8:1", 4), VERDICT_DENY);
	bench_ask_on(&bench, "release", 2);
	assert_int_equal(bench_ask_on(&bench, "connect 8.8.8.8:1", 4), VERDICT_ALLOW);
	fail_last(&bench, -111); /* the connect failed: its place is free */
	assert_int_equal(bench_ask_on(&bench, "connect 8.8.8.8:1", 4), VERDICT_ALLOW);
	bench_ask_on(&bench, "release", 4);
	bench_ask_on(&bench, "release", 4); /* twice gives back once */
	assert_int_equal(bench_ask_on(&bench, "connect 8.8.8.8:1", 5), VERDICT_ALLOW);
	assert_int_equal(bench_ask_on(&bench, "connect 8.8.8.8:1", 6), VERDICT_DENY);
	bench_close(&bench);
}

/* A call that another plugin denies holds nothing. */
static void test_concurrent_denied_later(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	bench_use(&bench, "chain:\n- plugin: ratelimit\n  limits:\n"
			  "  - {id: open, on: connect, concurrent: 1}\n"
			  "- plugin: filter\n  rules:\n"
			  "  - {id: no, on: connect, to: {ports: 25}, verdict: deny}\n"
			  "  - {id: yes, on: connect, verdict: allow}\n");
	assert_int_equal(count_allowed(&bench, "connect 8.8.8.8:25", 10), 0);
	bench_expect(&bench, "connect 8.8.8.8:25", VERDICT_DENY, "filter", "no");
	bench_expect(&bench, "connect 8.8.8.8:80", VERDICT_ALLOW, "filter", "yes");
	bench_expect(&bench, "connect 8.8.8.8:80", VERDICT_DENY, "ratelimit", "open");
	bench_close(&bench);
}

static void test_reload_keeps(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	bench_use(&bench, concurrent);
	bench_ask_on(&bench, "connect 8.8.8.8:1", 1);
	bench_ask_on(&bench, "connect 8.8.8.8:1", 2);
	bench_use(&bench, concurrent);
	assert_int_equal(bench_ask_on(&bench, "connect 8.8.8.8:1", 3), VERDICT_ALLOW);
	assert_int_equal(bench_ask_on(&bench, "connect 8.8.8.8:1", 4), VERDICT_DENY);
	bench_ask_on(&bench, "release", 1); /* opened under the policy before */
	assert_int_equal(bench_ask_on(&bench, "connect 8.8.8.8:1", 4), VERDICT_ALLOW);
	bench_use(&bench,
		  "chain:\n- plugin: ratelimit\n  limits:\n"
		  "  - {id: r, on: connect, rate: 1/h, burst: 3}\n"
		  "  - {id: d, on: connect, per: destination, rate: 1/h, burst: 2}\n" ALLOW_ALL);
	bench_ask(&bench, "connect 8.8.8.8:1");
	bench_ask(&bench, "connect 8.8.8.8:1");
	bench_expect(&bench, "connect 8.8.8.8:1", VERDICT_DENY, "ratelimit", "d");
	/* The same ids in another order, after a reload that fails. */
	bench_refuse(&bench, "chain:\n- plugin: ratelimit\n  limits:\n  - {id: r}\n",
		     "p.yaml:7:5: expected exactly one of rate, concurrent and bandwidth");
	bench_use(&bench, "chain:\n- plugin: ratelimit\n  limits:\n"
			  "  - {id: d, on: connect, per: destination, rate: 1/h, burst: 2}\n"
			  "  - {id: r, on: connect, rate: 1/h, burst: 3}\n" ALLOW_ALL);
	bench_expect(&bench, "connect 8.8.8.8:1", VERDICT_DENY, "ratelimit", "d");
	bench_expect(&bench, "connect 8.8.4.4:1", VERDICT_ALLOW, "filter", "all");
	bench_expect(&bench, "connect 8.8.4.4:1", VERDICT_DENY, "ratelimit", "r");
	bench_close(&bench);
}

static const char bandwidth[] =
	"chain:\n- plugin: ratelimit\n  limits:\n"
	"  - {id: egress, direction: out, bandwidth: %s}\n"
	"  - {id: ingress, direction: in, bandwidth: 8MB/s, per: destination}\n" ALLOW_ALL;

static void test_bandwidth(void **state)
{
	struct bench bench;
	struct meter *meter;
	struct meter *same;
	char text[512];

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	snprintf(text, sizeof(text), bandwidth, "100Mbit/s");
	bench_use(&bench, text);
	bench_expect(&bench, "connect 8.8.8.8:1", VERDICT_ALLOW, "filter", "all");
	meter = policy_meter(bench.policy, bench.decision.meter_out);
	assert_non_null(meter);
	assert_int_equal(meter->bytes_per_s, 12500000);
	same = policy_meter(bench.policy, bench.decision.meter_in);
	assert_int_equal(same->bytes_per_s, 8000000);
	assert_ptr_not_equal(same, meter);
	meter_unref(same);
	/* A reload that fails changes no rate; one that succeeds keeps the meter. */
	snprintf(text, sizeof(text), bandwidth, "8Mbit/s}\n  - {id: wrong");
	assert_int_not_equal(bench_try(&bench, text), 0);
	assert_int_equal(meter->bytes_per_s, 12500000);
	snprintf(text, sizeof(text), bandwidth, "8Mbit/s");
	bench_use(&bench, text);
	bench_ask(&bench, "connect 8.8.8.8:1");
	same = policy_meter(bench.policy, bench.decision.meter_out);
	assert_ptr_equal(same, meter);
	assert_int_equal(meter->bytes_per_s, 1000000);
	meter_unref(same);
	assert_null(policy_meter(bench.policy, 0));
	assert_null(policy_meter(bench.policy, 5000));
	bench_close(&bench);
	assert_int_equal(meter->refs, 1); /* outlives the policy */
	meter_unref(meter);
}

/* The policy of the guest's next engine, which has nothing but what was kept. */
static void restart(struct bench *bench, const char *text, struct allowances *kept)
{
	if (bench->policy)
		policy_note_allowances(bench->policy);
	policy_free(bench->policy);
	bench->policy = NULL;
	bench_use(bench, text);
	policy_keep_allowances(bench->policy, kept);
}

/* What a guest has used is used, also after it has started again. */
static void test_restart(void **state)
{
	static const char limits[] =
		"chain:\n- plugin: ratelimit\n  limits:\n"
		"  - {id: all, on: connect, rate: 1/h, burst: 5}\n"
		"  - {id: each, on: connect, per: destination, rate: 1/h, burst: 2}\n"
		"  - {id: peer, on: accept, per: peer, rate: 1/h, burst: 2}\n"
		"  - {id: egress, direction: out, bandwidth: 1kB/s}\n" ALLOW_ALL;
	static const char others[] =
		"chain:\n- plugin: ratelimit\n  limits:\n"
		"  - {id: new, on: connect, rate: 1/h, burst: 5}\n"
		"  - {id: each, on: connect, per: guest, rate: 1/h, burst: 2}\n" ALLOW_ALL;
	struct allowances *kept = calloc(1, sizeof(*kept));
	struct meter *meter;
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	restart(&bench, limits, kept);
	assert_int_equal(count_allowed(&bench, "connect 8.8.8.8:1", 2), 2);
	assert_int_equal(count_allowed(&bench, "accept 8.8.8.8:1 at 192.0.2.10:80", 3), 2);
	bench_ask(&bench, "connect 8.8.4.4:1");
	meter = policy_meter(bench.policy, bench.decision.meter_out);
	meter_take(meter, meter_allows(meter, 60000, clock_monotonic_ns()));
	meter_unref(meter);
	restart(&bench, limits, kept);
	bench_expect(&bench, "connect 8.8.8.8:1", VERDICT_DENY, "ratelimit", "each");
	assert_int_equal(count_allowed(&bench, "connect 8.8.4.4:1", 1), 1);
	meter = policy_meter(bench.policy, bench.decision.meter_out);
	assert_in_range(meter_allows(meter, 60000, clock_monotonic_ns()), 0, 50000);
	meter_unref(meter);
	assert_int_equal(count_allowed(&bench, "connect 9.9.9.9:1", 2), 1);
	bench_expect(&bench, "connect 9.9.9.8:1", VERDICT_DENY, "ratelimit", "all");
	assert_int_equal(count_allowed(&bench, "accept 8.8.8.8:1 at 192.0.2.10:80", 3), 0);
	assert_int_equal(count_allowed(&bench, "accept 8.8.8.9:1 at 192.0.2.10:80", 3), 2);
	/* Limits of other names, and of one name that counts otherwise, are others. */
	restart(&bench, others, kept);
	assert_int_equal(count_allowed(&bench, "connect 8.8.8.8:1", 3), 2);
	bench_close(&bench);
	free(kept);
}

/* What is kept is believed no more than the limit allows: it comes from an engine. */
static void test_restart_with_nonsense(void **state)
{
	static const char limits[] =
		"chain:\n- plugin: ratelimit\n  limits:\n"
		"  - {id: r, on: connect, rate: 1000/s, burst: 5}\n"
		"  - {id: egress, direction: out, bandwidth: 1kB/s}\n" ALLOW_ALL;
	struct allowances *kept = calloc(1, sizeof(*kept));
	struct meter *meter;
	struct bench bench;
	size_t i;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	restart(&bench, limits, kept);
	bench.now_ns = clock_monotonic_ns();
	bench_ask(&bench, "connect 8.8.8.8:1");
	meter = policy_meter(bench.policy, bench.decision.meter_out);
	meter_take(meter, meter_allows(meter, 60000, bench.now_ns));
	meter_unref(meter);
	policy_note_allowances(bench.policy);
	for (i = 0; i < ALLOWANCES_MAX; i++)
		kept->list[i].until_ns = UINT64_MAX;
	policy_free(bench.policy);
	bench.policy = NULL;
	bench_use(&bench, limits);
	policy_keep_allowances(bench.policy, kept);
	bench_expect(&bench, "connect 8.8.8.8:1", VERDICT_DENY, "ratelimit", "r");
	bench.now_ns += 5 * NS_PER_MS; /* as if the burst had been used up just then */
	assert_int_equal(bench_ask(&bench, "connect 8.8.8.8:1"), VERDICT_ALLOW);
	meter = policy_meter(bench.policy, bench.decision.meter_out);
	assert_int_equal(meter->bytes_per_s, 1000);
	assert_in_range(meter->tokens, 0, 65536);
	meter_unref(meter);
	assert_int_equal(count_allowed(&bench, "connect 8.8.8.8:1", 10), 4);
	bench_close(&bench);
	free(kept);
}

/* With mode: audit limits only count: nothing is denied, delayed or held back. */
static void test_audit(void **state)
{
	static const char limits[] =
		"chain:\n- plugin: ratelimit\n  limits:\n"
		"  - {id: slow, on: connect, rate: 1/s, burst: 1, over: delay}\n"
		"  - {id: egress, direction: out, bandwidth: 1kB/s}\n" ALLOW_ALL;
	struct meter *meter;
	struct bench bench;
	char metrics[1024];
	char text[1024];

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	bench.now_ns = 1000 * NS_PER_S;
	snprintf(text, sizeof(text), "mode: audit\n%s", limits);
	bench_use(&bench, text);
	assert_int_equal(count_allowed(&bench, "connect 8.8.8.8:1", 2), 2);
	assert_int_equal(bench.decision.delay_ns, 0);
	assert_string_equal(bench.decision.reason,
			    "mode: audit; ratelimit slow would have had it wait 1000 ms");
	meter = policy_meter(bench.policy, bench.decision.meter_out);
	assert_int_equal(meter_allows(meter, 100000, 0), 100000);
	assert_int_equal(meter_take(meter, 100000), 100000 - 65536);
	assert_int_equal(meter_allows(meter, 100000, 0), 100000);
	assert_int_equal(meter_take(meter, 100000), 100000);
	metrics[policy_metrics(bench.policy, metrics, sizeof(metrics) - 1)] = '\0';
	assert_non_null(strstr(metrics, "ratelimit.egress.over_bytes 134464\n"));
	/* A reload that takes it away: streams that are there obey at once. */
	bench_use(&bench, limits);
	assert_int_equal(meter_allows(meter, 100000, 0), 0);
	bench_ask(&bench, "connect 8.8.8.8:1");
	assert_int_equal(bench.decision.delay_ns, 2 * NS_PER_S);
	meter_unref(meter);
	bench_close(&bench);
}

/* What passes over a limit that is per destination is told of the limit, not of each destination.
 */
static void test_audit_per_destination(void **state)
{
	struct meter *meter;
	struct bench bench;
	char metrics[1024];
	char call[32];
	int i;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	bench_use(&bench,
		  "mode: audit\nchain:\n- plugin: ratelimit\n  limits:\n"
		  "  - {id: each, per: destination, direction: out, bandwidth: 1kB/s}\n" ALLOW_ALL);
	for (i = 1; i <= 3; i++) {
		snprintf(call, sizeof(call), "connect 8.8.8.%d:1", i);
		bench_ask(&bench, call);
		meter = policy_meter(bench.policy, bench.decision.meter_out);
		meter_allows(meter, 65536 + 100, 0);
		meter_take(meter, 65536 + 100);
		meter_unref(meter);
	}
	metrics[policy_metrics(bench.policy, metrics, sizeof(metrics) - 1)] = '\0';
	assert_non_null(strstr(metrics, "ratelimit.each.over_bytes 300\n"));
	assert_null(strchr(metrics, '/'));
	bench_close(&bench);
}

static void test_errors(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	bench_refuse(
		&bench,
		"chain:\n- plugin: ratelimit\n  limits:\n"
		"  - {id: a, on: connect, rate: 10}\n"
		"  - {id: a, on: connect, per: peer, rate: 10/s}\n"
		"  - {id: c, on: release, rate: 10/s}\n"
		"  - {id: d, on: connect, rate: 0/s}\n"
		"  - {id: e, bandwidth: 1Mbit}\n",
		"p.yaml:7:32: \"10\" is wrong here; expected a rate such as 200/s, 30/m or 5/h\n"
		"p.yaml:8:10: duplicate id \"a\"; expected each id once\n"
		"p.yaml:8:17: operation connect can not be used here; expected accept\n"
		"p.yaml:9:17: operation release can not be used here; expected "
		"socket, connect, bind, listen, accept, poll\n"
		"p.yaml:10:32: \"0/s\" is wrong here; expected a rate such as 200/s, 30/m or 5/h\n"
		"p.yaml:11:24: \"1Mbit\" is wrong here; expected a bandwidth such as 100Mbit/s, "
		"2MB/s or 512KiB/s");
	bench_refuse(&bench,
		     "chain:\n- plugin: ratelimit\n  limits:\n"
		     "  - {id: e, bandwidth: 1Mbit/s, direction: out}\n"
		     "  - {id: f, bandwidth: 1Mbit/s}\n",
		     "p.yaml:8:5: a second bandwidth for the same direction");
	bench_refuse(&bench,
		     "chain:\n- plugin: ratelimit\n  limits:\n"
		     "  - {id: a, on: accept, rate: 1/s, errno: EAGAIN}\n"
		     "  - {id: c, on: [accept, connect], rate: 1/s, errno: EAGAIN}\n",
		     "p.yaml:8:54: \"EAGAIN\" is wrong here; expected an error that ends the call");
	bench_close(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_delay),
		cmocka_unit_test(test_per_destination),
		cmocka_unit_test(test_concurrent),
		cmocka_unit_test(test_concurrent_denied_later),
		cmocka_unit_test(test_reload_keeps),
		cmocka_unit_test(test_bandwidth),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_restart_with_nonsense),
		cmocka_unit_test(test_audit),
		cmocka_unit_test(test_audit_per_destination),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
