/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The small plugins: rewrite, log, example. */
#include "bench_policy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"

static void test_rewrite(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	bench_use(
		&bench,
		"chain:\n- plugin: rewrite\n  rewrites:\n"
		"  - {id: resolver, on: connect, to: {ports: 53}, set: {address: 10.0.0.53}}\n"
		"  - {id: publish, on: bind, to: {ports: 80}, set: {address: 192.0.2.10, port: 8080}}\n"
		"- plugin: filter\n  rules:\n"
		"  - {id: bad, on: connect, to: {net: 10.0.0.66}, verdict: deny}\n"
		"  - {id: dns, on: connect, to: {net: 10.0.0.53}, verdict: allow}\n"
		"  - {id: serve, on: bind, at: {ports: 8080}, verdict: allow}\n");
	bench_expect(&bench, "connect 8.8.8.8:53", VERDICT_ALLOW, "filter", "dns");
	assert_true(bench.decision.rewritten);
	assert_string_equal(bench.decision.rewriter, "rewrite");
	assert_string_equal(bench.decision.rewrite_rule, "resolver");
	assert_int_equal(bench.decision.effective.addr[0], 10);
	assert_int_equal(bench.decision.effective.port, 53);
	bench_expect(&bench, "connect 10.0.0.53:53", VERDICT_ALLOW, "filter", "dns");
	/* A rewrite to what was asked for is none. */
	assert_false(bench.decision.rewritten);
	assert_string_equal(bench.decision.rewriter, "");
	assert_string_equal(bench.decision.rewrite_rule, "");
	/* The floor denies port 80 and 0.0.0.0, but the rewrite moves the call elsewhere. */
	bench_expect(&bench, "bind 0.0.0.0:80", VERDICT_ALLOW, "filter", "serve");
	assert_int_equal(bench.decision.effective.port, 8080);
	bench_expect(&bench, "bind 0.0.0.0:81", VERDICT_DENY, "floor", "low-port");
	bench_close(&bench);
}

/* Of several, the last says where the call goes; one that leads back leaves nobody's mark. */
static void test_rewrite_of_a_rewrite(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	bench_use(&bench,
		  "default: allow\nchain:\n- plugin: rewrite\n  rewrites:\n"
		  "  - {id: first, on: connect, to: {ports: [53, 54]}, set: {port: 5353}}\n"
		  "- plugin: rewrite\n  rewrites:\n"
		  "  - {id: second, on: connect, to: {net: 8.8.8.8}, set: {address: 8.8.4.4}}\n"
		  "  - {id: back, on: connect, to: {net: 9.9.9.9}, set: {port: 53}}\n");
	bench_expect(&bench, "connect 1.1.1.1:53", VERDICT_ALLOW, "default", "default");
	assert_string_equal(bench.decision.rewrite_rule, "first");
	bench_expect(&bench, "connect 8.8.8.8:53", VERDICT_ALLOW, "default", "default");
	assert_string_equal(bench.decision.rewrite_rule, "second");
	assert_int_equal(bench.decision.effective.port, 5353);
	bench_expect(&bench, "connect 9.9.9.9:53", VERDICT_ALLOW, "default", "default");
	assert_false(bench.decision.rewritten);
	assert_string_equal(bench.decision.rewriter, "");
	assert_string_equal(bench.decision.rewrite_rule, "");
	/* Denied where it was moved to: the mark stays. */
	bench_use(&bench,
		  "default: allow\nchain:\n- plugin: rewrite\n  rewrites:\n"
		  "  - {id: home, on: connect, to: {ports: 1}, set: {address: 127.0.0.1}}\n");
	bench_expect(&bench, "connect 8.8.8.8:1", VERDICT_DENY, "floor", "loopback");
	assert_string_equal(bench.decision.rewriter, "rewrite");
	assert_string_equal(bench.decision.rewrite_rule, "home");
	bench_close(&bench);
}

static void test_rewrite_escapes_no_deny(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	/* The filter stands before the rewrite and allows what was asked for. */
	bench_use(&bench,
		  "chain:\n- plugin: filter\n  rules:\n"
		  "  - {id: bad, on: connect, to: {net: 10.0.0.66}, verdict: deny, errno: EPERM}\n"
		  "  - {id: all, on: connect, verdict: allow}\n"
		  "- plugin: rewrite\n  rewrites:\n"
		  "  - {id: a, on: connect, to: {ports: 1}, set: {address: 10.0.0.66}}\n"
		  "  - {id: b, on: connect, to: {ports: 2}, set: {address: 127.0.0.1}}\n"
		  "  - {id: c, on: connect, to: {ports: 3}, set: {address: 10.9.0.1}}\n"
		  "  - {id: d, on: connect, to: {ports: 4}, set: {address: 10.0.0.67}}\n");
	bench_expect(&bench, "connect 8.8.8.8:1", VERDICT_DENY, "filter", "bad");
	assert_int_equal(bench.decision.error, -1);
	bench_expect(&bench, "connect 8.8.8.8:2", VERDICT_DENY, "floor", "loopback");
	bench_expect(&bench, "connect 8.8.8.8:3", VERDICT_DENY, "floor", "host-address");
	bench_expect(&bench, "connect 127.0.0.1:3", VERDICT_DENY, "floor", "host-address");
	bench_expect(&bench, "connect 127.0.0.1:4", VERDICT_ALLOW, "filter", "all");
	bench_close(&bench);
}

static void test_rewrite_errors(void **state)
{
	struct bench bench;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	bench_refuse(&bench,
		     "chain:\n- plugin: rewrite\n  rewrites:\n"
		     "  - {id: a, on: accept, to: {ports: 1}, set: {port: 1}}\n"
		     "  - {id: b, on: bind, to: {ports: 1}, set: {}}\n"
		     "  - {id: c, on: bind, to: {ports: 1}, set: {port: 0}}\n"
		     "  - {id: d, on: bind, to: {ports: 1}, set: {address: \"::1\"}}\n",
		     "p.yaml:7:17: operation accept can not be used here; expected connect, bind\n"
		     "p.yaml:8:44: sets nothing; expected set: {address: a.b.c.d, port: n}\n"
		     "p.yaml:9:51: \"0\" is wrong here; expected a number from 1 to 65535\n"
		     "p.yaml:10:54: \"::1\" is wrong here; expected an IPv4 address");
	bench_close(&bench);
}

/* Compiles text with a log that goes to a file, asks each call, and returns what was logged. */
static void logged(struct bench *bench, const char *text, const char *const *calls, char *out,
		   size_t size)
{
	char path[] = "/tmp/test_small.XXXXXX";
	struct policy_source source = {.path = (char[]){"p.yaml"}};
	struct policy *before = bench->policy;
	char whole[1024];
	struct log log;
	ssize_t got;

	log_init(&log, "test", LOG_LEVEL_DEBUG);
	log.fd = mkstemp(path);
	assert_true(log.fd >= 0);
	unlink(path);
	source.text = whole;
	source.size = (size_t)snprintf(whole, sizeof(whole),
				       "version: 1\nname: test\nmatch: {name: \"*\"}\n%s", text);
	if (policy_compile(&bench->policy, &source, bench->registry, bench->host, &bench->guest,
			   NULL, &log, &bench->fault))
		fail_msg("%s", bench->fault.text);
	policy_free(before);
	for (; *calls; calls++)
		bench_ask(bench, *calls);
	/* The last one again, as if it had ended before it was decided. */
	bench->decision.verdict = VERDICT_NONE;
	policy_observe(bench->policy, &bench->call, &bench->decision, -ECANCELED);
	got = pread(log.fd, out, size - 1, 0);
	assert_true(got >= 0);
	out[got] = '\0';
	close(log.fd);
	policy_free(bench->policy);
	bench->policy = NULL;
}

static void test_log(void **state)
{
	static const char *const calls[] = {"socket", "connect 8.8.8.8:443", "connect 127.0.0.1:22",
					    "listen 192.0.2.10:8080", NULL};
	struct bench bench;
	char out[2048];

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	logged(&bench,
	       "default: allow\nchain:\n- {plugin: log, calls: all}\n- plugin: rewrite\n"
	       "  rewrites: [{id: r, on: connect, to: {ports: 443}, set: {port: 444}}]\n",
	       calls, out, sizeof(out));
	assert_non_null(strstr(out, "log: call 1 socket 1: socket allowed by default"));
	assert_non_null(
		strstr(out, "connect 8.8.8.8:443 as 8.8.8.8:444 (rewrite/r) allowed by default"));
	assert_non_null(strstr(out, "connect 127.0.0.1:22 denied by floor loopback: "
				    "127.0.0.0/8 is the host itself, result -13"));
	assert_non_null(strstr(out, "listen 192.0.2.10:8080 allowed"));
	assert_non_null(strstr(out, "listen 192.0.2.10:8080 ended by"));
	logged(&bench, "default: allow\nchain: [{plugin: log, calls: denied}]\n", calls, out,
	       sizeof(out));
	assert_null(strstr(out, "8.8.8.8"));
	assert_null(strstr(out, "ended"));
	assert_non_null(strstr(out, "127.0.0.1"));
	logged(&bench, "default: allow\nchain: [{plugin: log, calls: [listen]}]\n", calls, out,
	       sizeof(out));
	assert_null(strstr(out, "connect"));
	assert_non_null(strstr(out, "listen"));
	logged(&bench,
	       "mode: audit\nchain:\n- {plugin: log, calls: denied}\n- plugin: filter\n"
	       "  rules: [{id: no, on: connect, verdict: deny}]\n",
	       calls, out, sizeof(out));
	assert_non_null(
		strstr(out, "connect 8.8.8.8:443 let through, would be denied by filter no"));
	assert_non_null(strstr(out, "connect 127.0.0.1:22 denied by floor loopback"));
	assert_null(strstr(out, "allowed"));
	bench_refuse(&bench, "chain: [{plugin: log, calls: some}]\n",
		     "p.yaml:4:30: wrong calls; expected all, denied or a list of operations");
	bench_close(&bench);
}

static void test_example(void **state)
{
	struct bench bench;
	uint64_t hour = 3600 * NS_PER_S;
	char text[200];
	uint64_t now;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	now = clock_wall_ns() / hour % 24;
	snprintf(text, sizeof(text),
		 "default: allow\nchain: [{plugin: example, from: %llu, to: %llu}]\n",
		 (unsigned long long)now, (unsigned long long)(now + 1));
	bench_use(&bench, text);
	if (clock_wall_ns() / hour % 24 == now)
		bench_expect(&bench, "connect 8.8.8.8:1", VERDICT_ALLOW, "default", "default");
	snprintf(text, sizeof(text),
		 "default: allow\nchain: [{plugin: example, from: %llu, to: %llu}]\n",
		 (unsigned long long)(now < 12 ? 20 : 3), (unsigned long long)(now < 12 ? 21 : 4));
	bench_use(&bench, text);
	bench_expect(&bench, "connect 8.8.8.8:1", VERDICT_DENY, "example", "closed");
	bench_refuse(&bench, "chain: [{plugin: example, from: 9, to: 9}]\n",
		     "p.yaml:4:40: the day ends before it begins");
	bench_refuse(&bench, "chain: [{plugin: example, from: 9}]\n", "a value is missing");
	bench_close(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rewrite),
		cmocka_unit_test(test_rewrite_of_a_rewrite),
		cmocka_unit_test(test_rewrite_escapes_no_deny),
		cmocka_unit_test(test_rewrite_errors),
		cmocka_unit_test(test_log),
		cmocka_unit_test(test_example),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
