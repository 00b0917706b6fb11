/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From ordered rules to tables: see set.h for what they look like. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/set.h"
#include "policy/set_classes.h"
#include "policy/sweep.h"

#define PORT_MAX 65535u

#define SHIFT_SMALL 24u   /* 256 entries: 1 KiB */
#define SHIFT_LARGE 16u   /* 65,536 entries: 256 KiB */
#define CUTS_SMALL  1024u /* cuts of the address line up to which the small table is used */

/* A point of the address line from which value holds. */
struct cut {
	uint32_t point;
	uint32_t value;
};

/* The table being built. */
struct build {
	const struct pvcalls_set *set;
	struct set_table *table;
	struct set_classes classes;
	struct sweep addresses;
	struct sweep ports;
	struct cut *cuts;
	size_t cut_count;
	size_t cut_capacity;
	size_t span_capacity;
	uint64_t work;
	uint32_t near; /* while ports are swept: the leaf where no rule lies */
};

static int add_span(struct build *build, uint32_t start, uint32_t value)
{
	struct set_table *table = build->table;
	size_t capacity = build->span_capacity ? build->span_capacity * 2 : 64;
	struct span *grown;

	if (table->span_count >= SET_SPANS_MAX)
		return -E2BIG;
	if (table->span_count == build->span_capacity) {
		grown = reallocarray(table->spans, capacity, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		table->spans = grown;
		build->span_capacity = capacity;
	}
	table->spans[table->span_count++] = (struct span){start, value};
	return 0;
}

/*
 * Ends the group of spans that began at index first: writes their number into it, or, if there is
 * only one, takes it back and answers its value.
 */
static uint32_t end_spans(struct build *build, size_t first)
{
	struct set_table *table = build->table;

	if (table->span_count - first == 1 && (table->spans[first].value & SET_LEAF))
		return table->spans[--table->span_count].value;
	table->spans[first].start = (uint32_t)(table->span_count - first);
	return (uint32_t)first;
}

/* A span of ports: the first rule that lies there. */
static int port_step(void *context, uint32_t point, const uint32_t *rules, size_t count)
{
	struct build *build = context;
	const struct set_table *table = build->table;
	uint32_t value = count ? SET_LEAF | (rules[0] + 1) : build->near;

	build->work++;
	if (point && table->spans[table->span_count - 1].value == value)
		return 0;
	return add_span(build, point, value);
}

static int lay_ports(struct build *build, uint32_t index)
{
	static const struct range every = {0, PORT_MAX};
	const struct set_rule *rule = &build->set->rules[index];
	int result = 0;
	size_t i;

	if (rule->any_port)
		return sweep_add(&build->ports, every, index);
	for (i = 0; i < rule->ports.count && !result; i++)
		result = sweep_add(&build->ports, rule->ports.list[i], index);
	build->work += rule->ports.count;
	return result;
}

/* What holds for addresses covered by exactly these rules, into *value. */
static int compile_class(struct build *build, const uint32_t *rules, size_t count, uint32_t *value)
{
	size_t first = build->table->span_count;
	int result = 0;
	size_t i;

	build->near = SET_LEAF;
	for (i = 0; i < count && !result; i++) {
		if (build->near == SET_LEAF && !build->set->rules[rules[i]].quiet)
			build->near = SET_LEAF | SET_NEAR | (rules[i] + 1);
		result = lay_ports(build, rules[i]);
	}
	if (!result)
		result = sweep_run(&build->ports, PORT_MAX, port_step, build);
	if (result)
		return result;
	*value = end_spans(build, first);
	return classes_add(&build->classes, rules, count, *value);
}

/* Rules behind one that takes every port never matter. */
static size_t count_that_matter(const struct build *build, const uint32_t *rules, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (build->set->rules[rules[i]].any_port)
			return i + 1;
	return count;
}

static int class_of(struct build *build, const uint32_t *rules, size_t count, uint32_t *value)
{
	const uint32_t *known;

	count = count_that_matter(build, rules, count);
	build->work += count;
	if (build->work > SET_WORK_MAX)
		return -E2BIG;
	*value = SET_LEAF;
	if (!count)
		return 0;
	*value |= rules[0] + 1;
	if (build->set->rules[rules[0]].any_port)
		return 0;
	known = classes_find(&build->classes, rules, count);
	if (!known)
		return compile_class(build, rules, count, value);
	*value = *known;
	return 0;
}

static int address_step(void *context, uint32_t point, const uint32_t *rules, size_t count)
{
	struct build *build = context;
	size_t capacity = build->cut_capacity ? build->cut_capacity * 2 : 64;
	struct cut *grown;
	uint32_t value;
	int result;

	result = class_of(build, rules, count, &value);
	if (result)
		return result;
	if (build->cut_count && build->cuts[build->cut_count - 1].value == value)
		return 0;
	if (build->cut_count == build->cut_capacity) {
		grown = reallocarray(build->cuts, capacity, sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		build->cuts = grown;
		build->cut_capacity = capacity;
	}
	build->cuts[build->cut_count++] = (struct cut){point, value};
	return 0;
}

static int lay_addresses(struct build *build)
{
	static const struct range every = {0, UINT32_MAX};
	const struct set_rule *rule;
	int result = 0;
	size_t i;
	size_t j;

	for (i = 0; i < build->set->count && !result; i++) {
		rule = &build->set->rules[i];
		if (!(rule->ops & build->table->ops))
			continue;
		if (rule->any_net)
			result = sweep_add(&build->addresses, every, (uint32_t)i);
		for (j = 0; !rule->any_net && j < rule->nets.count && !result; j++)
			result = sweep_add(&build->addresses, rule->nets.list[j], (uint32_t)i);
	}
	return result;
}

/* Spans of one piece of the address line, whose first cut is *at; moves *at to the piece's last. */
static int lay_piece(struct build *build, uint32_t piece, size_t *at, uint32_t *value)
{
	const struct set_table *table = build->table;
	uint64_t base = (uint64_t)piece << table->shift;
	uint64_t end = base + (1ull << table->shift);
	size_t first = table->span_count;
	int result;

	if (*at + 1 < build->cut_count && build->cuts[*at + 1].point == base)
		(*at)++;
	result = add_span(build, 0, build->cuts[*at].value);
	while (!result && *at + 1 < build->cut_count && build->cuts[*at + 1].point < end) {
		(*at)++;
		result = add_span(build, (uint32_t)(build->cuts[*at].point - base),
				  build->cuts[*at].value);
	}
	*value = result ? 0 : end_spans(build, first);
	return result;
}

/* Whether the piece lies wholly in the span of cut at, as the piece before it does. */
static bool is_like_last(const struct build *build, uint32_t piece, size_t at, size_t last_at)
{
	uint64_t end = (uint64_t)(piece + 1) << build->table->shift;

	return piece && at == last_at &&
	       (at + 1 == build->cut_count || build->cuts[at + 1].point >= end);
}

static int lay_first(struct build *build)
{
	struct set_table *table = build->table;
	uint32_t pieces;
	uint32_t piece;
	size_t last_at = SIZE_MAX; /* the cut that the last piece lay in wholly */
	size_t before;
	size_t at = 0;
	int result = 0;

	table->shift = build->cut_count > CUTS_SMALL ? SHIFT_LARGE : SHIFT_SMALL;
	pieces = 1u << (32 - table->shift);
	table->first = calloc(pieces, sizeof(*table->first));
	if (!table->first)
		return -ENOMEM;
	for (piece = 0; piece < pieces && !result; piece++) {
		if (is_like_last(build, piece, at, last_at)) {
			table->first[piece] = table->first[piece - 1];
			continue;
		}
		before = table->span_count;
		result = lay_piece(build, piece, &at, &table->first[piece]);
		last_at = table->span_count - before <= 1 ? at : SIZE_MAX;
	}
	return result;
}

/* The rules that a port alone would have matched: for near misses of addresses. */
static int lay_by_port(struct build *build)
{
	const struct set_rule *rule;
	size_t first = build->table->span_count;
	int result = 0;
	size_t i;

	build->near = SET_LEAF;
	for (i = 0; i < build->set->count && !result; i++) {
		rule = &build->set->rules[i];
		if (!(rule->ops & build->table->ops) || rule->quiet || rule->any_net)
			continue;
		result = lay_ports(build, (uint32_t)i);
		if (rule->any_port)
			break;
	}
	if (!result)
		result = sweep_run(&build->ports, PORT_MAX, port_step, build);
	build->table->by_port = result ? SET_LEAF : end_spans(build, first);
	return result;
}

static int compile_table(const struct pvcalls_set *set, struct set_table *table)
{
	struct build build = {.set = set, .table = table};
	int result;

	result = lay_addresses(&build);
	if (!result)
		result = sweep_run(&build.addresses, UINT32_MAX, address_step, &build);
	if (!result)
		result = lay_first(&build);
	if (!result)
		result = lay_by_port(&build);
	classes_free(&build.classes);
	sweep_free(&build.addresses);
	sweep_free(&build.ports);
	free(build.cuts);
	return result;
}

static bool have_same_rules(const struct pvcalls_set *set, uint32_t a, uint32_t b)
{
	size_t i;

	for (i = 0; i < set->count; i++)
		if (!(set->rules[i].ops >> a & 1) != !(set->rules[i].ops >> b & 1))
			return false;
	return true;
}

static bool has_rules(const struct pvcalls_set *set, uint32_t op)
{
	size_t i;

	for (i = 0; i < set->count; i++)
		if (set->rules[i].ops & 1u << op)
			return true;
	return false;
}

/* The table for op: that of an operation before it with the same rules, or the next free one. */
static struct set_table *table_for(struct pvcalls_set *set, uint32_t op)
{
	uint32_t i;

	for (i = 0; i < set->table_count; i++)
		if (have_same_rules(set, op, (uint32_t)__builtin_ctz(set->tables[i].ops)))
			break;
	if (i == set->table_count)
		set->table_count++;
	set->tables[i].ops |= 1u << op;
	return &set->tables[i];
}

int set_compile(struct pvcalls_set *set)
{
	int result = 0;
	uint32_t op;
	uint32_t i;

	set->tables = calloc(PVCALLS_OP_COUNT, sizeof(*set->tables));
	if (!set->tables)
		return -ENOMEM;
	for (op = 0; op < PVCALLS_OP_COUNT; op++)
		if (has_rules(set, op))
			set->by_op[op] = table_for(set, op);
	for (i = 0; i < set->table_count && !result; i++)
		result = compile_table(set, &set->tables[i]);
	return result;
}
