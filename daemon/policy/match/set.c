/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sets: their rules, and finding the first one that matches. See set_compile.c for the tables. */
#include "policy/match/set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/match/address.h"

struct pvcalls_set *set_new(void)
{
	struct pvcalls_set *set = calloc(1, sizeof(*set));
	uint32_t op;

	for (op = 0; set && op < PVCALLS_OP_COUNT; op++)
		set->unconditional[op] = -1;
	return set;
}

void set_drop_tables(struct pvcalls_set *set)
{
	uint32_t i;

	for (i = 0; i < set->table_count; i++) {
		free(set->tables[i].first);
		free(set->tables[i].spans);
	}
	free(set->tables);
	set->tables = NULL;
	set->table_count = 0;
	memset(set->by_op, 0, sizeof(set->by_op));
}

void set_free(struct pvcalls_set *set)
{
	size_t i;

	if (!set)
		return;
	for (i = 0; i < set->count; i++) {
		ranges_free(&set->rules[i].nets);
		ranges_free(&set->rules[i].ports);
	}
	set_drop_tables(set);
	free(set->rules);
	free(set);
}

int set_append(struct pvcalls_set *set, const struct set_rule *rule)
{
	size_t capacity = set->capacity ? set->capacity * 2 : 8;
	struct set_rule *grown;
	uint32_t op;

	if (set->range_count + rule->nets.count > SET_RANGES_MAX)
		return -E2BIG;
	if (set->count == set->capacity) {
		grown = reallocarray(set->rules, capacity, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		set->rules = grown;
		set->capacity = capacity;
	}
	for (op = 0; op < PVCALLS_OP_COUNT; op++)
		if ((rule->ops & 1u << op) && rule->any_net && rule->any_port &&
		    set->unconditional[op] < 0)
			set->unconditional[op] = (int32_t)set->count;
	set->range_count += rule->nets.count;
	set->rules[set->count++] = *rule;
	return 0;
}

/* The value of the span that number is in; the first span's start is their number, not a start. */
uint32_t set_spans_find(const struct span *spans, uint32_t number)
{
	uint32_t count = spans[0].start;
	uint32_t at = 0;
	uint32_t half;

	while (count > 1) {
		half = count / 2;
		at += spans[at + half].start <= number ? half : 0;
		count -= half;
	}
	return spans[at].value;
}

uint32_t set_table_find(const struct set_table *table, uint32_t address, uint32_t port)
{
	uint32_t value = table->first[address >> table->shift];

	if (!(value & SET_LEAF))
		value = set_spans_find(table->spans + value, address & ((1u << table->shift) - 1));
	if (!(value & SET_LEAF))
		value = set_spans_find(table->spans + value, port);
	return value;
}

int32_t set_find(const struct pvcalls_set *set, uint32_t op,
		 const struct pvcalls_endpoint *endpoint)
{
	uint32_t value;

	if (op >= PVCALLS_OP_COUNT || !set->by_op[op])
		return -1;
	if (endpoint->family != ADDRESS_FAMILY_INET)
		return set->unconditional[op];
	value = set_table_find(set->by_op[op], address_of_endpoint(endpoint), endpoint->port);
	return (value & SET_NEAR) ? -1 : (int32_t)(value & SET_RULE) - 1;
}

/* Where a rule begins: the lowest address and port that it matches. False: it matches none. */
static bool set_rule_first(const struct set_rule *rule, uint32_t *address, uint32_t *port)
{
	if ((!rule->any_net && !rule->nets.count) || (!rule->any_port && !rule->ports.count))
		return false;
	*address = rule->any_net ? 0 : rule->nets.list[0].first;
	*port = rule->any_port ? 0 : rule->ports.list[0].first;
	return true;
}

int32_t set_hidden(const struct pvcalls_set *set, uint32_t index, uint32_t op)
{
	const struct set_rule *rule;
	uint32_t address;
	uint32_t port;

	if (index >= set->count || op >= PVCALLS_OP_COUNT || !set->by_op[op])
		return -1;
	rule = &set->rules[index];
	/* The first without conditions is found for endpoints that have no address. */
	if (!(rule->ops & ~rule->spoken & 1u << op) || set->unconditional[op] == (int32_t)index ||
	    !set_rule_first(rule, &address, &port))
		return -1;
	return (int32_t)(set_table_find(set->by_op[op], address, port) & SET_RULE) - 1;
}

static bool set_rule_matches(const struct set_rule *rule, uint32_t op,
			     const struct pvcalls_endpoint *endpoint)
{
	if (!(rule->ops & 1u << op))
		return false;
	if (endpoint->family != ADDRESS_FAMILY_INET)
		return rule->any_net && rule->any_port;
	return (rule->any_net || ranges_have(&rule->nets, address_of_endpoint(endpoint))) &&
	       (rule->any_port || ranges_have(&rule->ports, endpoint->port));
}

int32_t set_find_slowly(const struct pvcalls_set *set, uint32_t op,
			const struct pvcalls_endpoint *endpoint)
{
	size_t i;

	for (i = 0; i < set->count; i++)
		if (set_rule_matches(&set->rules[i], op, endpoint))
			return (int32_t)i;
	return -1;
}

size_t set_memory(const struct pvcalls_set *set)
{
	size_t bytes = 0;
	uint32_t i;

	for (i = 0; i < set->table_count; i++)
		bytes += (sizeof(uint32_t) << (32 - set->tables[i].shift)) +
			 set->tables[i].span_count * sizeof(struct span);
	return bytes;
}
