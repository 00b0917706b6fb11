/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sets against trying one rule after the other, on random rules. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "policy/match/near_miss.h"
#include "policy/match/set.h"
#include "policy/match/set_compile.h"

static uint64_t seed = 88172645463325252ull;

static uint32_t random32(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 16);
}

static struct range random_net(uint32_t first_bits, uint32_t space)
{
	uint32_t bits = first_bits + random32() % (33 - first_bits);
	uint32_t host = bits == 32 ? 0 : UINT32_MAX >> bits;
	/* Few distinct first bits, so that prefixes meet. */
	uint32_t address = (random32() % space) << 24 | (random32() & 0x030303ff);
	struct range range = {address & ~host, address | host};

	return range;
}

static struct range random_ports(void)
{
	uint32_t first = random32() % 2 ? random32() % 65536 : random32() % 10;
	uint32_t last = random32() % 2 ? first : first + random32() % (65536 - first);
	struct range range = {first, last};

	return range;
}

static void append_random(struct pvcalls_set *set, uint32_t space)
{
	struct set_rule rule = {.ops = random32() % 128, .quiet = random32() % 4 == 0};
	uint32_t nets = random32() % 4;
	uint32_t ports = random32() % 4;
	uint32_t i;

	rule.any_net = nets == 0;
	rule.any_port = ports == 0;
	for (i = 0; i < nets; i++)
		assert_int_equal(ranges_add(&rule.nets, random_net(random32() % 33, space)), 0);
	for (i = 0; i < ports; i++)
		assert_int_equal(ranges_add(&rule.ports, random_ports()), 0);
	ranges_normalise(&rule.nets);
	ranges_normalise(&rule.ports);
	assert_int_equal(set_append(set, &rule), 0);
}

static struct pvcalls_endpoint random_endpoint(const struct pvcalls_set *set, uint32_t space)
{
	struct pvcalls_endpoint endpoint = {.family = random32() % 50 ? 2 : 0};
	uint32_t address = (random32() % space) << 24 | (random32() & 0x030303ff);
	const struct set_rule *rule;
	uint32_t port = random32() % 2 ? random32() % 65536 : random32() % 12;

	/* Half of the time at the edge of a rule. */
	if (set->count && random32() % 2) {
		rule = &set->rules[random32() % set->count];
		if (rule->nets.count)
			address = rule->nets.list[random32() % rule->nets.count].first +
				  random32() % 3 - 1;
		if (rule->ports.count)
			port = rule->ports.list[random32() % rule->ports.count].last +
			       random32() % 3 - 1;
	}
	endpoint.port = (uint16_t)port;
	endpoint.addr[0] = (uint8_t)(address >> 24);
	endpoint.addr[1] = (uint8_t)(address >> 16);
	endpoint.addr[2] = (uint8_t)(address >> 8);
	endpoint.addr[3] = (uint8_t)address;
	return endpoint;
}

static bool may_be_named(const struct pvcalls_set *set, uint32_t op)
{
	size_t i;

	for (i = 0; i < set->count; i++)
		if ((set->rules[i].ops >> op & 1) && !set->rules[i].quiet)
			return true;
	return false;
}

static void compare(const struct pvcalls_set *set, uint32_t space, int times)
{
	struct pvcalls_endpoint endpoint;
	char text[PVCALLS_REASON_MAX];
	uint32_t misses;
	int32_t found;
	int32_t near;
	uint32_t op;

	while (times--) {
		endpoint = random_endpoint(set, space);
		op = random32() % 9;
		found = op < PVCALLS_OP_COUNT ? set_find_slowly(set, op, &endpoint) : -1;
		assert_int_equal(set_find(set, op, &endpoint), found);
		if (found >= 0)
			assert_int_equal(set_hidden(set, (uint32_t)found, op), -1);
		near = found < 0 ? set_nearest(set, op, &endpoint, text, sizeof(text), &misses)
				 : -1;
		if (near < 0)
			continue;
		assert_false(set->rules[near].quiet);
		assert_int_equal(!(set->rules[near].ops >> op & 1), misses >> 2);
		if (misses == PVCALLS_MISS_OPERATION && endpoint.family)
			assert_false(may_be_named(set, op));
	}
}

static void test_random_rules(void **state)
{
	struct pvcalls_set *set;
	uint32_t count;
	uint32_t i;
	int round;

	(void)state;
	for (round = 0; round < 400; round++) {
		set = set_new();
		count = round < 200 ? random32() % 8 : random32() % 120;
		for (i = 0; i < count; i++)
			append_random(set, 1 + (uint32_t)round % 5);
		assert_int_equal(set_compile(set), 0);
		compare(set, 1 + (uint32_t)round % 5, 1500);
		set_free(set);
	}
}

/* A plugin may build its set again, with more rules or as it is. */
static void test_compiled_twice(void **state)
{
	struct pvcalls_set *set = set_new();
	uint32_t i;

	(void)state;
	for (i = 0; i < 40; i++) {
		append_random(set, 3);
		assert_int_equal(set_compile(set), 0);
		assert_int_equal(set_compile(set), 0);
		compare(set, 3, 500);
	}
	set_free(set);
}

/* Enough cuts of the address line for the large first table. */
static void test_many_rules(void **state)
{
	struct pvcalls_set *set = set_new();
	uint32_t i;

	(void)state;
	for (i = 0; i < 6000; i++) {
		struct set_rule rule = {.ops = 2, .any_port = i % 3 == 0};

		assert_int_equal(ranges_add(&rule.nets, random_net(8, 256)), 0);
		if (!rule.any_port)
			assert_int_equal(ranges_add(&rule.ports, random_ports()), 0);
		assert_int_equal(set_append(set, &rule), 0);
	}
	assert_int_equal(set_compile(set), 0);
	assert_int_equal(set->tables[0].shift, 16);
	compare(set, 256, 3000);
	set_free(set);
}

static void test_hundred_thousand_prefixes(void **state)
{
	struct pvcalls_set *set = set_new();
	uint64_t begin;
	uint32_t i;

	(void)state;
	for (i = 0; i < 100000; i++) {
		struct set_rule rule = {.ops = 2, .any_port = i % 2 == 0};

		assert_int_equal(ranges_add(&rule.nets, random_net(8, 256)), 0);
		if (!rule.any_port)
			assert_int_equal(ranges_add(&rule.ports, random_ports()), 0);
		assert_int_equal(set_append(set, &rule), 0);
	}
	begin = clock_monotonic_ns();
	assert_int_equal(set_compile(set), 0);
	print_message("100000 rules: %llu ms, %zu KiB\n",
		      (unsigned long long)((clock_monotonic_ns() - begin) / NS_PER_MS),
		      set_memory(set) / 1024);
	compare(set, 256, 200);
	set_free(set);
}

/* Rules that all overlap would need more tables than there is memory: an error, not a hang. */
static void test_too_entangled(void **state)
{
	struct pvcalls_set *set = set_new();
	uint32_t i;

	(void)state;
	for (i = 0; i < 40000; i++) {
		struct set_rule rule = {.ops = 2, .any_net = i % 2 == 0};
		struct range port = {i, i};
		struct range net = {i << 8, i << 8};

		if (!rule.any_net)
			assert_int_equal(ranges_add(&rule.nets, net), 0);
		assert_int_equal(ranges_add(&rule.ports, port), 0);
		assert_int_equal(set_append(set, &rule), 0);
	}
	assert_int_equal(set_compile(set), -E2BIG);
	set_free(set);
}

static void test_empty(void **state)
{
	struct pvcalls_endpoint endpoint = {.family = 2};
	struct pvcalls_set *set = set_new();
	char text[8];

	(void)state;
	assert_int_equal(set_compile(set), 0);
	assert_int_equal(set_find(set, 1, &endpoint), -1);
	assert_int_equal(set_near_miss(set, 1, &endpoint, text, sizeof(text)), -1);
	set_free(set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_rules),
		cmocka_unit_test(test_compiled_twice),
		cmocka_unit_test(test_many_rules),
		cmocka_unit_test(test_hundred_thousand_prefixes),
		cmocka_unit_test(test_too_entangled),
		cmocka_unit_test(test_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
