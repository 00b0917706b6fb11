/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a decision costs, and whether it costs more with 100,000 rules than with 10.
 *
 *     decision [PLUGIN_DIRECTORY]
 *
 * First the look-up alone, then whole decisions of a chain log, ratelimit, filter (when a plugin
 * directory is given). Small and large are measured in turns in one run, each call on its own, and
 * a part of the answers is compared with trying one rule after the other. Exit status 1: an answer
 * was wrong.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "policy/chain.h"
#include "policy/compile.h"
#include "policy/host_view/host_view.h"
#include "policy/match/set.h"
#include "policy/match/set_compile.h"
#include "policy/plugin_host/plugin_registry.h"
#include "policy/policy.h"
#include "policy/yaml/source.h"

#define SMALL     10u
#define LARGE     100000u
#define BLOCK     1000u
#define BLOCKS    300u
#define SAMPLES   ((size_t)BLOCK * BLOCKS)
#define ENDPOINTS 4096u
#define CHECKED   2000u

/* One of the two things that are compared. */
struct side {
	const char *name;
	struct pvcalls_set *set;
	struct policy *policy;
	struct pvcalls_endpoint endpoints[ENDPOINTS];
	uint32_t *samples;
	uint64_t sum;
};

static uint64_t seed = 88172645463325252ull;

static uint32_t decision_random32(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 16);
}

static void *decision_must(void *memory)
{
	if (!memory) {
		fputs("decision: out of memory\n", stderr);
		exit(2);
	}
	return memory;
}

/* A prefix of 16 to 32 bits (wider ones would hide those behind), none where the floor decides. */
static struct range decision_random_net(void)
{
	uint32_t bits = 16 + decision_random32() % 17;
	uint32_t host = bits == 32 ? 0 : UINT32_MAX >> bits;
	uint32_t address = (20 + decision_random32() % 80) << 24 | (decision_random32() & 0xffffff);

	return (struct range){address & ~host, address | host};
}

static void decision_fill_set(struct side *side, uint32_t rules)
{
	uint64_t begin;
	uint32_t i;

	side->set = decision_must(set_new());
	for (i = 0; i < rules; i++) {
		struct set_rule rule = {.ops = 1u << PVCALLS_OP_CONNECT, .any_port = i % 2};
		struct range port = {decision_random32() % 65536, 0};

		port.last = port.first + decision_random32() % (65536 - port.first);
		if (ranges_add(&rule.nets, decision_random_net()) ||
		    (!rule.any_port && ranges_add(&rule.ports, port)) ||
		    set_append(side->set, &rule))
			decision_must(NULL);
	}
	begin = clock_monotonic_ns();
	if (set_compile(side->set))
		decision_must(NULL);
	printf("%-22s compiled in %" PRIu64 " us, %zu KiB\n", side->name,
	       (uint64_t)((clock_monotonic_ns() - begin) / NS_PER_US),
	       set_memory(side->set) / 1024);
}

/* Half of the endpoints lie in a rule, half anywhere. */
static void decision_set_endpoint(struct pvcalls_endpoint *endpoint, uint32_t address)
{
	endpoint->family = 2;
	endpoint->port = (uint16_t)(1 + decision_random32() % 65535);
	endpoint->addr[0] = (uint8_t)(address >> 24);
	endpoint->addr[1] = (uint8_t)(address >> 16);
	endpoint->addr[2] = (uint8_t)(address >> 8);
	endpoint->addr[3] = (uint8_t)address;
}

static void decision_fill_endpoints(struct side *side)
{
	const struct set_rule *rule;
	uint32_t address;
	uint32_t i;

	for (i = 0; i < ENDPOINTS; i++) {
		address = (20 + decision_random32() % 80) << 24 | (decision_random32() & 0xffffff);
		rule = &side->set->rules[decision_random32() % side->set->count];
		if (i % 2)
			address = rule->nets.list[0].first +
				  decision_random32() %
					  (rule->nets.list[0].last - rule->nets.list[0].first + 1);
		decision_set_endpoint(&side->endpoints[i], address);
	}
}

/* How many of CHECKED answers differ from those of the slow way. */
static uint32_t decision_count_wrong(const struct side *side)
{
	const struct pvcalls_endpoint *endpoint;
	uint32_t wrong = 0;
	uint32_t i;

	for (i = 0; i < CHECKED; i++) {
		endpoint = &side->endpoints[i];
		wrong += set_find(side->set, PVCALLS_OP_CONNECT, endpoint) !=
			 set_find_slowly(side->set, PVCALLS_OP_CONNECT, endpoint);
	}
	return wrong;
}

static void decision_look_up(struct side *side, uint32_t block)
{
	uint64_t begin;
	uint64_t end;
	uint32_t i;

	for (i = 0; i < BLOCK; i++) {
		begin = clock_monotonic_ns();
		side->sum += (uint32_t)set_find(side->set, PVCALLS_OP_CONNECT,
						&side->endpoints[decision_random32() % ENDPOINTS]);
		end = clock_monotonic_ns();
		side->samples[(size_t)block * BLOCK + i] = (uint32_t)(end - begin);
	}
}

static void decision_decide(struct side *side, uint32_t block)
{
	static const struct pvcalls_guest guest = {.size = sizeof(guest), .name = "bench"};
	struct pvcalls_call call = {
		.size = sizeof(call), .op = PVCALLS_OP_CONNECT, .guest = &guest};
	struct decision decision;
	uint64_t begin;
	uint64_t end;
	uint32_t i;

	for (i = 0; i < BLOCK; i++) {
		call.requested = side->endpoints[decision_random32() % ENDPOINTS];
		call.serial++;
		begin = clock_monotonic_ns();
		call.monotonic_ns = begin;
		policy_decide(side->policy, &call, &decision);
		end = clock_monotonic_ns();
		side->sum += decision.verdict;
		side->samples[(size_t)block * BLOCK + i] = (uint32_t)(end - begin);
	}
}

static int decision_compare_times(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a;
	uint32_t right = *(const uint32_t *)b;

	return left < right ? -1 : left > right;
}

static void decision_compare(const char *what, struct side sides[2],
			     void (*measure)(struct side *side, uint32_t block))
{
	uint32_t p50[2];
	uint32_t p99[2];
	uint32_t block;
	int i;

	for (i = 0; i < 2; i++)
		measure(&sides[i], 0); /* warms up, and is measured again */
	for (block = 0; block < BLOCKS; block++)
		for (i = 0; i < 2; i++)
			measure(&sides[i], block);
	for (i = 0; i < 2; i++) {
		qsort(sides[i].samples, SAMPLES, sizeof(uint32_t), decision_compare_times);
		p50[i] = sides[i].samples[SAMPLES / 2];
		p99[i] = sides[i].samples[SAMPLES / 100 * 99];
		printf("%-22s p50 %u ns, p99 %u ns\n", sides[i].name, p50[i], p99[i]);
	}
	printf("%s: large to small p50 %.2f, p99 %.2f\n", what, (double)p50[1] / p50[0],
	       (double)p99[1] / p99[0]);
}

/* An address that takes few digits, so that 100,000 fit the megabyte of a policy. */
static uint32_t decision_short_address(void)
{
	return (20 + decision_random32() % 80) << 24 | decision_random32() % 10 << 16 |
	       decision_random32() % 100 << 8 | decision_random32() % 10;
}

/*
 * A policy with this many addresses in a group that its filter allows; half of the endpoints are
 * among them.
 */
static char *decision_policy_text(struct side *side, uint32_t addresses)
{
	static const char head[] =
		"version: 1\nname: bench\nmatch: {name: bench}\ngroups: {g: [1.1.1.1";
	static const char tail[] =
		"]}\nchain:\n- {plugin: log, calls: denied}\n"
		"- plugin: ratelimit\n  limits:\n"
		"  - {id: rate, on: connect, rate: 1000000/s, burst: 1000000}\n"
		"- plugin: filter\n  rules:\n"
		"  - {id: smtp, on: connect, to: {ports: 25}, verdict: deny}\n"
		"  - {id: web, on: connect, to: {net: g, ports: 1-60000}, verdict: allow}\n";
	char *text = decision_must(malloc(POLICY_FILE_MAX + 1));
	size_t used = sizeof(head) - 1;
	uint32_t address;
	uint32_t same;
	uint32_t i;

	memcpy(text, head, sizeof(head));
	for (i = 0; i < ENDPOINTS; i++)
		decision_set_endpoint(&side->endpoints[i], decision_short_address());
	for (i = 0; i < addresses; i++) {
		address = decision_short_address();
		used += (size_t)snprintf(text + used, 20, ",%u.%u.%u.%u", address >> 24,
					 address >> 16 & 255, address >> 8 & 255, address & 255);
		for (same = i * 2; same < ENDPOINTS; same += addresses * 2)
			decision_set_endpoint(&side->endpoints[same], address);
	}
	memcpy(text + used, tail, sizeof(tail));
	return text;
}

static void decision_compile(struct side *side, uint32_t addresses,
			     const struct plugin_registry *registry, struct host_view *host)
{
	static const struct pvcalls_guest guest = {.size = sizeof(guest), .name = "bench"};
	struct policy_source source = {.path = strdup("bench.yaml")};
	struct fault fault;
	uint64_t begin;

	source.text = decision_policy_text(side, addresses);
	source.size = strlen(source.text);
	begin = clock_monotonic_ns();
	if (policy_compile(&side->policy, &source, registry, host, &guest, NULL, NULL, &fault)) {
		fprintf(stderr, "decision: %s\n", fault.text);
		exit(2);
	}
	printf("%-22s %zu bytes of policy compiled in %" PRIu64 " us\n", side->name, source.size,
	       (uint64_t)((clock_monotonic_ns() - begin) / NS_PER_US));
	free(source.text);
	free(source.path);
}

static void decision_compare_policies(struct side sides[2], const char *directory)
{
	struct plugin_registry *registry;
	struct host_view *host;
	struct fault fault;

	if (plugin_registry_load(&registry, directory, &fault) ||
	    host_view_open(&host, 0, 0, &fault)) {
		fprintf(stderr, "decision: %s\n", fault.text);
		exit(2);
	}
	sides[0].name = "10 addresses";
	sides[1].name = "100,000 addresses";
	decision_compile(&sides[0], SMALL, registry, host);
	decision_compile(&sides[1], LARGE, registry, host);
	decision_compare("decision", sides, decision_decide);
	policy_free(sides[0].policy);
	policy_free(sides[1].policy);
	host_view_close(host);
	plugin_registry_free(registry);
}

int main(int argc, char **argv)
{
	static struct side sides[2] = {{.name = "10 rules"}, {.name = "100,000 rules"}};
	uint32_t wrong = 0;
	int i;

	for (i = 0; i < 2; i++) {
		sides[i].samples = decision_must(calloc(SAMPLES, sizeof(uint32_t)));
		decision_fill_set(&sides[i], i ? LARGE : SMALL);
		decision_fill_endpoints(&sides[i]);
		wrong += decision_count_wrong(&sides[i]);
	}
	decision_compare("look-up", sides, decision_look_up);
	if (argc > 1)
		decision_compare_policies(sides, argv[1]);
	printf("%u of %u answers differ from the linear search (sum %" PRIu64 ")\n", wrong,
	       2 * CHECKED, sides[0].sum + sides[1].sum);
	for (i = 0; i < 2; i++) {
		set_free(sides[i].set);
		free(sides[i].samples);
	}
	return wrong ? 1 : 0;
}
