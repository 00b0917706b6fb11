/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Near misses: the rule that would have matched but for one condition, and the condition in words.
 */
#include <stdio.h>
#include <string.h>

#include "call/call.h"
#include "policy/set.h"
#include "policy/tree.h"

#define FAMILY_INET 2u

/* Text that is cut at the end of its buffer. */
struct line {
	char *text;
	size_t size;
	size_t used;
};

static void line_add(struct line *line, const char *text)
{
	size_t length = strlen(text);

	if (line->used + 1 >= line->size)
		return;
	if (length > line->size - line->used - 1)
		length = line->size - line->used - 1;
	memcpy(line->text + line->used, text, length);
	line->used += length;
	line->text[line->used] = '\0';
}

/* A scalar or list of the policy, as written: "443, 8000-8100". */
static void line_add_value(struct line *line, const struct pvcalls_value *value)
{
	uint32_t i;

	if (!value)
		return;
	if (value->kind == PVCALLS_VALUE_SCALAR)
		line_add(line, value->text);
	for (i = 0; i < value->count && line->used + 1 < line->size; i++) {
		if (i)
			line_add(line, ", ");
		if (value->entries[i].value->kind == PVCALLS_VALUE_SCALAR)
			line_add(line, value->entries[i].value->text);
	}
}

static void line_add_ops(struct line *line, uint32_t ops)
{
	bool first = true;
	uint32_t op;

	for (op = 0; op < PVCALLS_OP_COUNT; op++) {
		if (!(ops & 1u << op))
			continue;
		if (!first)
			line_add(line, ", ");
		line_add(line, call_operations[op].name);
		first = false;
	}
}

static int32_t miss_port(struct line *line, const struct pvcalls_set *set, int32_t rule,
			 const struct pvcalls_endpoint *endpoint)
{
	char text[32];

	snprintf(text, sizeof(text), "port %u is not in ", endpoint->port);
	line_add(line, text);
	line_add_value(line, tree_get(set->rules[rule].match, "ports"));
	return rule;
}

static int32_t miss_address(struct line *line, const struct pvcalls_set *set, int32_t rule,
			    const struct pvcalls_endpoint *endpoint)
{
	char text[48];

	snprintf(text, sizeof(text), "address %u.%u.%u.%u is not in ", endpoint->addr[0],
		 endpoint->addr[1], endpoint->addr[2], endpoint->addr[3]);
	line_add(line, text);
	line_add_value(line, tree_get(set->rules[rule].match, "net"));
	return rule;
}

/* A rule for this address and port, but for other operations. */
static int32_t miss_op(struct line *line, const struct pvcalls_set *set, uint32_t op,
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
	line_add(line, "operation ");
	line_add(line, call_operations[op].name);
	line_add(line, " is not in ");
	line_add_ops(line, set->rules[rule].ops);
	return rule;
}

static uint32_t near_leaf(const struct pvcalls_set *set, uint32_t op,
			  const struct pvcalls_endpoint *endpoint)
{
	uint32_t address = (uint32_t)endpoint->addr[0] << 24 | (uint32_t)endpoint->addr[1] << 16 |
			   (uint32_t)endpoint->addr[2] << 8 | endpoint->addr[3];

	if (!set->by_op[op] || endpoint->family != FAMILY_INET)
		return SET_LEAF;
	return set_table_find(set->by_op[op], address, endpoint->port);
}

static uint32_t by_port_leaf(const struct pvcalls_set *set, uint32_t op,
			     const struct pvcalls_endpoint *endpoint)
{
	const struct set_table *table = set->by_op[op];

	if (!table || endpoint->family != FAMILY_INET)
		return SET_LEAF;
	if (table->by_port & SET_LEAF)
		return table->by_port;
	return set_spans_find(table->spans + table->by_port, endpoint->port);
}

int32_t set_near_miss(const struct pvcalls_set *set, uint32_t op,
		      const struct pvcalls_endpoint *endpoint, char *text, size_t size)
{
	struct line line = {text, size, 0};
	uint32_t leaf;
	int32_t rule;

	if (!size || op >= PVCALLS_OP_COUNT)
		return -1;
	text[0] = '\0';
	leaf = near_leaf(set, op, endpoint);
	if (leaf & SET_NEAR)
		return miss_port(&line, set, (int32_t)(leaf & SET_RULE) - 1, endpoint);
	rule = miss_op(&line, set, op, endpoint);
	if (rule >= 0)
		return rule;
	leaf = by_port_leaf(set, op, endpoint);
	if (leaf & SET_RULE)
		return miss_address(&line, set, (int32_t)(leaf & SET_RULE) - 1, endpoint);
	return -1;
}
