/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/match/set_compile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "policy/match/set_classes.h"
#include "policy/match/sweep.h"

#define SET_PORT_MAX 65535u

#define SET_SHIFT_SMALL 24u   /* 256 entries: 1 KiB */
#define SET_SHIFT_LARGE 16u   /* 65,536 entries: 256 KiB */
#define SET_CUTS_SMALL  1024u /* cuts of the address line up to which the small table is used */

/* A point of the address line from which value holds. */
struct set_cut {
	uint32_t point;
	uint32_t value;
};

/* The table being built. */
struct set_build {
	struct pvcalls_set *set;
	struct set_table *table;
	struct set_classes classes;
	struct sweep addresses;
	struct sweep ports;
	struct set_cut *cuts;
	size_t cut_count;
	size_t cut_capacity;
	size_t span_capacity;
	uint64_t work;
	uint32_t near;   /* while ports are swept: the leaf where no rule lies */
	uint32_t spoken; /* while ports are swept: operations for which what is found speaks */
};

static int set_build_add_span(struct set_build *build, uint32_t start, uint32_t value)
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
static uint32_t set_build_end_spans(struct set_build *build, size_t first)
{
	struct set_table *table = build->table;

	ASSERT(first < table->span_count);
	if (table->span_count - first == 1 && (table->spans[first].value & SET_LEAF))
		return table->spans[--table->span_count].value;
	table->spans[first].start = (uint32_t)(table->span_count - first);
	return (uint32_t)first;
}

/* A span of ports: the first rule that lies there. */
static int set_build_step_port(void *context, uint32_t point, const uint32_t *rules, size_t count)
{
	struct set_build *build = context;
	const struct set_table *table = build->table;
	uint32_t value = count ? SET_LEAF | (rules[0] + 1) : build->near;

	build->work++;
	if (count)
		build->set->rules[rules[0]].spoken |= build->spoken;
	if (point && table->spans[table->span_count - 1].value == value)
		return 0;
	return set_build_add_span(build, point, value);
}

static int set_build_lay_ports(struct set_build *build, uint32_t index)
{
	static const struct range every = {0, SET_PORT_MAX};
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
static int set_build_compile_class(struct set_build *build, const uint32_t *rules, size_t count,
				   uint32_t *value)
{
	size_t first = build->table->span_count;
	int result = 0;
	size_t i;

	build->near = SET_LEAF;
	build->spoken = build->table->ops;
	for (i = 0; i < count && !result; i++) {
		if (build->near == SET_LEAF && !build->set->rules[rules[i]].quiet)
			build->near = SET_LEAF | SET_NEAR | (rules[i] + 1);
		result = set_build_lay_ports(build, rules[i]);
	}
	if (!result)
		result = sweep_run(&build->ports, SET_PORT_MAX, set_build_step_port, build);
	if (result)
		return result;
	*value = set_build_end_spans(build, first);
	return set_classes_add(&build->classes, rules, count, *value);
}

/* Rules behind one that takes every port never matter. */
static size_t set_build_count_rules(const struct set_build *build, const uint32_t *rules,
				    size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (build->set->rules[rules[i]].any_port)
			return i + 1;
	return count;
}

static int set_build_class(struct set_build *build, const uint32_t *rules, size_t count,
			   uint32_t *value)
{
	const uint32_t *known;

	count = set_build_count_rules(build, rules, count);
	build->work += count;
	if (build->work > SET_WORK_MAX)
		return -E2BIG;
	*value = SET_LEAF;
	if (!count)
		return 0;
	*value |= rules[0] + 1;
	if (build->set->rules[rules[0]].any_port) {
		build->set->rules[rules[0]].spoken |= build->table->ops;
		return 0;
	}
	known = set_classes_find(&build->classes, rules, count);
	if (!known)
		return set_build_compile_class(build, rules, count, value);
	*value = *known;
	return 0;
}

static int set_build_step_address(void *context, uint32_t point, const uint32_t *rules,
				  size_t count)
{
	struct set_build *build = context;
	size_t capacity = build->cut_capacity ? build->cut_capacity * 2 : 64;
	struct set_cut *grown;
	uint32_t value;
	int result;

	result = set_build_class(build, rules, count, &value);
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
	build->cuts[build->cut_count++] = (struct set_cut){point, value};
	return 0;
}

static int set_build_lay_addresses(struct set_build *build)
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
static int set_build_lay_piece(struct set_build *build, uint32_t piece, size_t *at, uint32_t *value)
{
	const struct set_table *table = build->table;
	uint64_t base = (uint64_t)piece << table->shift;
	uint64_t end = base + (1ull << table->shift);
	size_t first = table->span_count;
	int result;

	if (*at + 1 < build->cut_count && build->cuts[*at + 1].point == base)
		(*at)++;
	ASSERT(*at < build->cut_count && build->cuts[*at].point < end);
	result = set_build_add_span(build, 0, build->cuts[*at].value);
	while (!result && *at + 1 < build->cut_count && build->cuts[*at + 1].point < end) {
		(*at)++;
		result = set_build_add_span(build, (uint32_t)(build->cuts[*at].point - base),
					    build->cuts[*at].value);
	}
	*value = result ? 0 : set_build_end_spans(build, first);
	return result;
}

/* Whether the piece lies wholly in the span of cut at, as the piece before it does. */
static bool set_build_is_like_last(const struct set_build *build, uint32_t piece, size_t at,
				   size_t last_at)
{
	uint64_t end = (uint64_t)(piece + 1) << build->table->shift;

	return piece && at == last_at &&
	       (at + 1 == build->cut_count || build->cuts[at + 1].point >= end);
}

static int set_build_lay_first(struct set_build *build)
{
	struct set_table *table = build->table;
	uint32_t pieces;
	uint32_t piece;
	size_t last_at = SIZE_MAX; /* the cut that the last piece lay in wholly */
	size_t before;
	size_t at = 0;
	int result = 0;

	table->shift = build->cut_count > SET_CUTS_SMALL ? SET_SHIFT_LARGE : SET_SHIFT_SMALL;
	pieces = 1u << (32 - table->shift);
	table->first = calloc(pieces, sizeof(*table->first));
	if (!table->first)
		return -ENOMEM;
	for (piece = 0; piece < pieces && !result; piece++) {
		if (set_build_is_like_last(build, piece, at, last_at)) {
			table->first[piece] = table->first[piece - 1];
			continue;
		}
		before = table->span_count;
		result = set_build_lay_piece(build, piece, &at, &table->first[piece]);
		last_at = table->span_count - before <= 1 ? at : SIZE_MAX;
	}
	return result;
}

/* The rules that a port alone would have matched: for near misses of addresses. */
static int set_build_lay_by_port(struct set_build *build)
{
	const struct set_rule *rule;
	size_t first = build->table->span_count;
	int result = 0;
	size_t i;

	build->near = SET_LEAF;
	build->spoken = 0;
	for (i = 0; i < build->set->count && !result; i++) {
		rule = &build->set->rules[i];
		if (!(rule->ops & build->table->ops) || rule->quiet)
			continue;
		if (!build->table->nameable)
			build->table->nameable = (uint32_t)i + 1;
		if (rule->any_net)
			continue;
		result = set_build_lay_ports(build, (uint32_t)i);
		if (rule->any_port)
			break;
	}
	if (!result)
		result = sweep_run(&build->ports, SET_PORT_MAX, set_build_step_port, build);
	build->table->by_port = result ? SET_LEAF : set_build_end_spans(build, first);
	return result;
}

static int set_compile_table(struct pvcalls_set *set, struct set_table *table)
{
	struct set_build build = {.set = set, .table = table};
	int result;

	result = set_build_lay_addresses(&build);
	if (!result)
		result = sweep_run(&build.addresses, UINT32_MAX, set_build_step_address, &build);
	if (!result)
		result = set_build_lay_first(&build);
	if (!result)
		result = set_build_lay_by_port(&build);
	set_classes_free(&build.classes);
	sweep_free(&build.addresses);
	sweep_free(&build.ports);
	free(build.cuts);
	return result;
}

static bool set_ops_are_alike(const struct pvcalls_set *set, uint32_t a, uint32_t b)
{
	size_t i;

	for (i = 0; i < set->count; i++)
		if (!(set->rules[i].ops >> a & 1) != !(set->rules[i].ops >> b & 1))
			return false;
	return true;
}

static bool set_has_op(const struct pvcalls_set *set, uint32_t op)
{
	size_t i;

	for (i = 0; i < set->count; i++)
		if (set->rules[i].ops & 1u << op)
			return true;
	return false;
}

/* The table for op: that of an operation before it with the same rules, or the next free one. */
static struct set_table *set_table_for(struct pvcalls_set *set, uint32_t op)
{
	uint32_t i;

	for (i = 0; i < set->table_count; i++)
		if (set_ops_are_alike(set, op, (uint32_t)__builtin_ctz(set->tables[i].ops)))
			break;
	ASSERT(i < PVCALLS_OP_COUNT);
	if (i == set->table_count)
		set->table_count++;
	set->tables[i].ops |= 1u << op;
	return &set->tables[i];
}

static void set_forget_spoken(struct pvcalls_set *set)
{
	size_t i;

	for (i = 0; i < set->count; i++)
		set->rules[i].spoken = 0;
}

int set_compile(struct pvcalls_set *set)
{
	int result = 0;
	uint32_t op;
	uint32_t i;

	set_drop_tables(set);
	set_forget_spoken(set);
	set->tables = calloc(PVCALLS_OP_COUNT, sizeof(*set->tables));
	if (!set->tables)
		return -ENOMEM;
	for (op = 0; op < PVCALLS_OP_COUNT; op++)
		if (set_has_op(set, op))
			set->by_op[op] = set_table_for(set, op);
	for (i = 0; i < set->table_count && !result; i++)
		result = set_compile_table(set, &set->tables[i]);
	if (result)
		set_drop_tables(set); /* half of one must not be looked into */
	return result;
}
