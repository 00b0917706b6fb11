/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ordered rules over operations, addresses and ports, and finding the first that matches in a time
 * that does not depend on how many there are.
 *
 * Theory of operation. For each operation (operations with the same rules share) the address line
 * is cut into spans in which the same rules lie. A table indexed by the first bits of the address
 * tells which spans to search; a span tells either the rule (or that there is none), or where the
 * ports are cut into spans in the same way, each of which tells the rule. First match is settled
 * while building. A span of ports without a rule names the one that only the port kept away.
 */
#ifndef POLICY_MATCH_SET_H
#define POLICY_MATCH_SET_H

#include <pvcalls/plugin.h>

#include "policy/match/ranges.h"

#define SET_RANGES_MAX 4194304u     /* address ranges of all rules of a set */
#define SET_SPANS_MAX  4194304u     /* spans of one operation: 32 MiB */
#define SET_WORK_MAX   (1ull << 28) /* rules looked at while building */

/* From start (an offset) to the next span's. The first one's start is 0; it holds their number. */
struct span {
	uint32_t start;
	uint32_t value; /* a leaf, or the index of the first of further spans */
};

/* value and first[]: bit 31 leaf, bit 30 no rule but a near miss, below: 1 + rule, 0 for none */
#define SET_LEAF (1u << 31)
#define SET_NEAR (1u << 30)
#define SET_RULE (SET_NEAR - 1)

/* The compiled rules of some operations. */
struct set_table {
	uint32_t ops;
	unsigned shift;     /* address >> shift is the place in first */
	uint32_t *first;    /* leaf, or index into spans */
	struct span *spans; /* of addresses, and of ports behind them */
	uint32_t by_port;   /* leaf or index into spans: rule for a port, whatever the address */
	uint32_t nameable;  /* 1 + the first rule that may be named as a near miss; 0: none */
	size_t span_count;
};

struct set_rule {
	uint32_t ops;
	bool quiet; /* never named as a near miss */
	bool any_net;
	bool any_port;
	struct ranges nets; /* normalised */
	struct ranges ports;
	const struct pvcalls_value *match; /* as written, for near misses; may be NULL */
	uint32_t spoken; /* compiled: operations for which some endpoint finds this rule */
};

struct pvcalls_set {
	struct set_rule *rules;
	size_t count;
	size_t capacity;
	size_t range_count;
	struct set_table *tables;
	uint32_t table_count;
	const struct set_table *by_op[PVCALLS_OP_COUNT]; /* NULL: no rule has this operation */
	int32_t unconditional[PVCALLS_OP_COUNT];         /* first rule without conditions, or -1 */
};

/* Returns an empty set, or NULL when there is no memory. */
struct pvcalls_set *set_new(void);
void set_free(struct pvcalls_set *set);
/* Forgets what was compiled: nothing is found until it is compiled again. */
void set_drop_tables(struct pvcalls_set *set);
/* Appends a rule; nets and ports are moved in if it succeeds. 0, -ENOMEM, or -E2BIG. */
int set_append(struct pvcalls_set *set, const struct set_rule *rule);
/* Bytes of the compiled tables. */
size_t set_memory(const struct pvcalls_set *set);

/* See pvcalls/plugin.h: set_find. */
int32_t set_find(const struct pvcalls_set *set, uint32_t op,
		 const struct pvcalls_endpoint *endpoint);
/* What set_find() must say, found by trying one rule after the other: for tests. */
int32_t set_find_slowly(const struct pvcalls_set *set, uint32_t op,
			const struct pvcalls_endpoint *endpoint);

/* See pvcalls/plugin.h: set_hidden. */
int32_t set_hidden(const struct pvcalls_set *set, uint32_t index, uint32_t op);

/* The leaf for an address (host order) and port: shared with near_miss.c. */
uint32_t set_table_find(const struct set_table *table, uint32_t address, uint32_t port);
uint32_t set_spans_find(const struct span *spans, uint32_t number);

#endif
