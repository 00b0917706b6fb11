/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of policies share: a host with known addresses, and short ways to ask. */
#ifndef TEST_BENCH_POLICY_H
#define TEST_BENCH_POLICY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "policy/chain.h"
#include "policy/compile.h"
#include "policy/host_view/host_view.h"
#include "policy/plugin_host/plugin_registry.h"
#include "policy/policy.h"
#include "policy/policy_tests.h"
#include "policy/source_check.h"
#include "policy/yaml/errors.h"

/* One host, one guest, and the policy under test. */
struct bench {
	struct plugin_registry *registry;
	struct host_view *host;
	struct pvcalls_guest guest;
	struct policy *policy;
	struct decision decision;
	struct pvcalls_call call;
	struct fault fault;
	uint64_t serial;
	uint64_t now_ns; /* 0: the real clock */
};

static inline void bench_open(struct bench *bench, const char *plugin_directory)
{
	static const char *const addresses[] = {"127.0.0.0/8", "192.0.2.10", "10.9.0.1"};
	static const uint16_t ports[] = {22, 8443};

	memset(bench, 0, sizeof(*bench));
	if (plugin_registry_load(&bench->registry, plugin_directory, &bench->fault))
		fail_msg("%s", bench->fault.text);
	assert_int_equal(host_view_fixed(&bench->host, addresses, 3, ports, 2), 0);
	bench->guest.size = sizeof(bench->guest);
	bench->guest.domid = 7;
	strcpy(bench->guest.name, "web-1");
}

static inline void bench_close(struct bench *bench)
{
	policy_free(bench->policy);
	host_view_close(bench->host);
	plugin_registry_free(bench->registry);
}

/* Compiles text behind the three keys each policy has. The result; the policy replaces the old. */
static inline int bench_try(struct bench *bench, const char *text)
{
	static char whole[POLICY_FILE_MAX + 100];
	struct policy_source source = {.path = (char[]){"p.yaml"}, .text = whole};
	struct policy *policy;
	int result;

	source.size = (size_t)snprintf(whole, sizeof(whole),
				       "version: 1\nname: test\nmatch: {name: \"*\"}\n%s", text);
	result = policy_compile(&policy, &source, bench->registry, bench->host, &bench->guest,
				bench->policy, NULL, &bench->fault);
	if (!result) {
		policy_free(bench->policy);
		bench->policy = policy;
	}
	return result;
}

static inline void bench_use(struct bench *bench, const char *text)
{
	if (bench_try(bench, text))
		fail_msg("%s", bench->fault.text);
}

/* Asks, and observes the outcome as if the call had worked. Returns the verdict. */
static inline uint32_t bench_ask_on(struct bench *bench, const char *call, uint64_t socket)
{
	assert_int_equal(policy_test_read_call(call, &bench->call), 0);
	bench->call.guest = &bench->guest;
	bench->call.serial = ++bench->serial;
	bench->call.socket = socket;
	bench->call.monotonic_ns = bench->now_ns ? bench->now_ns : clock_monotonic_ns();
	bench->call.wall_ns = clock_wall_ns();
	policy_decide(bench->policy, &bench->call, &bench->decision);
	policy_observe(bench->policy, &bench->call, &bench->decision, bench->decision.error);
	return bench->decision.verdict;
}

static inline uint32_t bench_ask(struct bench *bench, const char *call)
{
	return bench_ask_on(bench, call, bench->serial + 1);
}

/* Expects a verdict by this decider and rule. */
static inline void bench_expect(struct bench *bench, const char *call, uint32_t verdict,
				const char *decider, const char *rule)
{
	uint32_t got = bench_ask(bench, call);

	if (got != verdict || strcmp(bench->decision.decider, decider) != 0 ||
	    strcmp(bench->decision.rule, rule) != 0)
		fail_msg("%s: verdict %u by %s %s (%s); expected %u by %s %s", call, got,
			 bench->decision.decider, bench->decision.rule, bench->decision.reason,
			 verdict, decider, rule);
}

/* Expects that compiling fails and says this. */
static inline void bench_refuse(struct bench *bench, const char *text, const char *expected)
{
	if (!bench_try(bench, text))
		fail_msg("compiled: %s", text);
	if (!strstr(bench->fault.text, expected))
		fail_msg("said: %s\nexpected: %s", bench->fault.text, expected);
}

#endif
