/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/match/near_miss.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "call/call.h"
#include "policy/match/address.h"
#include "policy/yaml/value_tree.h"

/* Text that is cut at the end of its buffer. */
struct miss_text {
	char *text;
	size_t size;
	size_t used;
};

static void miss_add(struct miss_text *out, const char *text)
{
	size_t length = strlen(text);

	if (out->used + 1 >= out->size)
		return;
	if (length > out->size - out->used - 1)
		length = out->size - out->used - 1;
	memcpy(out->text + out->used, text, length);
	out->used += length;
	out->text[out->used] = '\0';
}

/* A scalar or list of the policy, as written: "443, 8000-8100". */
static void miss_add_value(struct miss_text *out, const struct pvcalls_value *value)
{
	uint32_t i;

	if (!value)
		return;
	if (value->kind == PVCALLS_VALUE_SCALAR)
		miss_add(out, value->text);
	for (i = 0; i < value->count && out->used + 1 < out->size; i++) {
		if (i)
			miss_add(out, ", ");
		if (value->entries[i].value->kind == PVCALLS_VALUE_SCALAR)
			miss_add(out, value->entries[i].value->text);
	}
}

static void miss_add_ops(struct miss_text *out, uint32_t ops)
{
	bool first = true;
	uint32_t op;

	for (op = 0; op < PVCALLS_OP_COUNT; op++) {
		if (!(ops & 1u << op))
			continue;
		if (!first)
			miss_add(out, ", ");
		miss_add(out, call_operations[op].name);
		first = false;
	}
}

static int32_t miss_port(struct miss_text *out, const struct pvcalls_set *set, int32_t rule,
			 const struct pvcalls_endpoint *endpoint)
{
	char text[32];

	ASSERT(rule >= 0 && (size_t)rule < set->count);
	snprintf(text, sizeof(text), "port %u is not in ", endpoint->port);
	miss_add(out, text);
	miss_add_value(out, tree_get(set->rules[rule].match, "ports"));
	return rule;
}

static int32_t miss_address(struct miss_text *out, const struct pvcalls_set *set, int32_t rule,
			    const struct pvcalls_endpoint *endpoint)
{
	char text[48];

	ASSERT(rule >= 0 && (size_t)rule < set->count);
	snprintf(text, sizeof(text), "address %u.%u.%u.%u is not in ", endpoint->addr[0],
		 endpoint->addr[1], endpoint->addr[2], endpoint->addr[3]);
	miss_add(out, text);
	miss_add_value(out, tree_get(set->rules[rule].match, "net"));
	return rule;
}

/* A rule for this address and port, but for other operations. */
static int32_t miss_op(struct miss_text *out, const struct pvcalls_set *set, uint32_t op,
		       const struct pvcalls_endpoint *endpoint)
{
	int32_t rule = -1;
	uint32_t other;

	for (other = 0; other < PVCALLS_OP_COUNT; other++) {
		if (other != op && set->by_op[other])
			rule = set_find(set, other, endpoint);
		if (rule >= 0 && !set->rules[rule].quiet)
			break;
		rule = -1;
	}
	if (rule < 0)
		return -1;
	miss_add(out, "operation ");
	miss_add(out, call_operations[op].name);
	miss_add(out, " is not in ");
	miss_add_ops(out, set->rules[rule].ops);
	return rule;
}

static uint32_t miss_leaf_of_address(const struct pvcalls_set *set, uint32_t op,
				     const struct pvcalls_endpoint *endpoint)
{
	if (!set->by_op[op] || endpoint->family != ADDRESS_FAMILY_INET)
		return SET_LEAF;
	return set_table_find(set->by_op[op], address_of_endpoint(endpoint), endpoint->port);
}

static uint32_t miss_leaf_of_port(const struct pvcalls_set *set, uint32_t op,
				  const struct pvcalls_endpoint *endpoint)
{
	const struct set_table *table = set->by_op[op];

	if (!table || endpoint->family != ADDRESS_FAMILY_INET)
		return SET_LEAF;
	if (table->by_port & SET_LEAF)
		return table->by_port;
	return set_spans_find(table->spans + table->by_port, endpoint->port);
}

/* A rule for this operation that neither address nor port fit. */
static int32_t miss_both(struct miss_text *out, const struct pvcalls_set *set, uint32_t op,
			 const struct pvcalls_endpoint *endpoint)
{
	const struct set_table *table = set->by_op[op];
	int32_t rule;

	if (!table || !table->nameable || endpoint->family != ADDRESS_FAMILY_INET)
		return -1;
	rule = miss_address(out, set, (int32_t)table->nameable - 1, endpoint);
	miss_add(out, "; ");
	return miss_port(out, set, rule, endpoint);
}

/* The near miss itself. *misses: by what. */
static int32_t miss_find(struct miss_text *out, const struct pvcalls_set *set, uint32_t op,
			 const struct pvcalls_endpoint *endpoint, uint32_t *misses)
{
	uint32_t leaf = miss_leaf_of_address(set, op, endpoint);
	int32_t rule;

	*misses = PVCALLS_MISS_PORT;
	if (leaf & SET_NEAR)
		return miss_port(out, set, (int32_t)(leaf & SET_RULE) - 1, endpoint);
	*misses = PVCALLS_MISS_ADDRESS;
	leaf = miss_leaf_of_port(set, op, endpoint);
	if (leaf & SET_RULE)
		return miss_address(out, set, (int32_t)(leaf & SET_RULE) - 1, endpoint);
	*misses = PVCALLS_MISS_ADDRESS | PVCALLS_MISS_PORT;
	rule = miss_both(out, set, op, endpoint);
	if (rule >= 0)
		return rule;
	*misses = PVCALLS_MISS_OPERATION;
	return miss_op(out, set, op, endpoint);
}

int32_t set_nearest(const struct pvcalls_set *set, uint32_t op,
		    const struct pvcalls_endpoint *endpoint, char *text, size_t size,
		    uint32_t *misses)
{
	struct miss_text out = {text, size, 0};
	int32_t rule;

	*misses = 0;
	if (!size || op >= PVCALLS_OP_COUNT)
		return -1;
	text[0] = '\0';
	rule = miss_find(&out, set, op, endpoint, misses);
	if (rule < 0)
		*misses = 0;
	return rule;
}

int32_t set_near_miss(const struct pvcalls_set *set, uint32_t op,
		      const struct pvcalls_endpoint *endpoint, char *text, size_t size)
{
	uint32_t misses;

	return set_nearest(set, op, endpoint, text, size, &misses);
}
