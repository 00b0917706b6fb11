/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * filter: ordered rules over operation, address and port; the first that matches speaks.
 *
 * Theory of operation. The host finds the first match among any number of rules for one endpoint at
 * a time. Rules about the remote end (to, from) and rules about the guest's own end (at) are
 * therefore two sets, each with a place for every rule, so that an index means the same rule in
 * both and the smaller one is the first match. Of a bind there is one end only: all its rules are
 * in the first set. Rules without a condition are in both, so that each knows what they hide. The
 * few rules on accept with both from
 * and at are tried one by one. A rule with `mode: audit` must not hide the rules behind it: a
 * second table without these rules says what is enforced.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <pvcalls/plugin.h>

#define BIT(op)   (1u << (op))
#define ALL       (BIT(PVCALLS_OP_COUNT) - 1)
#define TO_OPS    (BIT(PVCALLS_OP_CONNECT) | BIT(PVCALLS_OP_BIND))
#define FROM_OPS  BIT(PVCALLS_OP_ACCEPT)
#define AT_OPS    (BIT(PVCALLS_OP_BIND) | BIT(PVCALLS_OP_LISTEN) | BIT(PVCALLS_OP_ACCEPT))
#define OWN_OPS   (BIT(PVCALLS_OP_LISTEN) | BIT(PVCALLS_OP_ACCEPT)) /* of which it is looked up */
#define PAIRS_MAX 64u

#define WARNING_BYTES 256u
#define HIDDEN        "rule %s can never speak%s%s: what it is for is matched before it, as by rule %s"

typedef const struct pvcalls_value value_t;

struct rule {
	char id[PVCALLS_RULE_MAX];
	uint32_t kind; /* PVCALLS_ALLOW or PVCALLS_DENY */
	uint32_t error;
	uint32_t audit;
	uint32_t ops;
	uint32_t local; /* 1: it is about the guest's own end */
	uint32_t ends;  /* it is about: 0, 1 or 2 */
};

struct table {
	struct pvcalls_set *remote;
	struct pvcalls_set *local;
};

/* A rule on accept with both ends: from is its rule of op ACCEPT, at that of op LISTEN. */
struct pair {
	int32_t rule;
	struct pvcalls_set *set;
};

struct filter {
	const struct pvcalls_host *host;
	struct rule *rules;
	struct table all;
	struct table enforced; /* without the rules in audit mode */
	struct pair pairs[PAIRS_MAX];
	uint32_t pair_count;
};

static int32_t table_add_rule(struct filter *filter, struct table *table, uint32_t ops,
			      value_t *remote, value_t *local)
{
	const struct pvcalls_host *host = filter->host;
	uint32_t kept = ops & PVCALLS_SET_QUIET;
	uint32_t here = local ? ops & (BIT(PVCALLS_OP_BIND) | kept) : ops;
	uint32_t there = remote ? 0 : ops & (OWN_OPS | kept);

	return host->set_add(host, table->remote, here, local ? local : remote) |
	       host->set_add(host, table->local, there, local);
}

static int32_t filter_add_pair(struct filter *filter, int32_t index, value_t *from, value_t *at)
{
	const struct pvcalls_host *host = filter->host;
	struct pvcalls_set *set = host->set_create(host);

	if (filter->pair_count == PAIRS_MAX)
		return host->error_at(host, at,
				      "too many rules with both from and at; expected at most 64");
	if (!set || host->set_add(host, set, BIT(PVCALLS_OP_ACCEPT), from) ||
	    host->set_add(host, set, BIT(PVCALLS_OP_LISTEN), at) || host->set_build(host, set))
		return -1;
	filter->pairs[filter->pair_count++] = (struct pair){index, set};
	return 0;
}

/* Puts rule number index into the tables it belongs to, and empty places into the others. */
static int32_t filter_place_rule(struct filter *filter, int32_t index, uint32_t ops,
				 value_t *remote, value_t *local)
{
	struct rule *rule = &filter->rules[index];
	int32_t result = 0;

	rule->ops = ops;
	rule->local = !!local;
	rule->ends = !!remote + !!local;
	if (rule->ends == 2) {
		result = filter_add_pair(filter, index, remote, local);
		ops = 0;
		remote = local = NULL;
	}
	if (rule->kind == PVCALLS_DENY || rule->audit)
		ops |= PVCALLS_SET_QUIET;
	result |= table_add_rule(filter, &filter->all, ops, remote, local);
	if (rule->audit)
		return result | table_add_rule(filter, &filter->enforced, 0, NULL, NULL);
	return result | table_add_rule(filter, &filter->enforced, ops, remote, local);
}

static int32_t rule_check_ends(const struct pvcalls_host *host, uint32_t ops, value_t *to,
			       value_t *from, value_t *at)
{
	if (to && (ops & ~TO_OPS))
		return host->error_at(host, to, "\"to\" is for connect and bind only");
	if (from && (ops & ~FROM_OPS))
		return host->error_at(host, from, "\"from\" is for accept only");
	if (at && (ops & ~AT_OPS))
		return host->error_at(host, at, "\"at\" is for bind, listen and accept only");
	if (to && at)
		return host->error_at(host, at, "\"to\" and \"at\" in one rule; expected one");
	return 0;
}

static int32_t filter_read_rule(struct filter *filter, int32_t index, value_t *section)
{
	static const char *const verdicts[] = {"allow", "deny"};
	static const char *const modes[] = {"enforce", "audit"};
	const struct pvcalls_host *host = filter->host;
	struct rule *rule = &filter->rules[index];
	value_t *to = host->value_get(section, "to");
	value_t *from = host->value_get(section, "from");
	value_t *at = host->value_get(section, "at");
	value_t *error = host->value_get(section, "errno");
	value_t *mode = host->value_get(section, "mode");
	value_t *id = host->value_get(section, "id");
	value_t *on = host->value_get(section, "on");
	value_t *verdict = host->value_get(section, "verdict");
	uint32_t denies = 0;
	uint32_t ops = 0;
	int32_t result;

	if (!id || !on || !verdict)
		return host->error_at(host, section,
				      "not a rule; expected a map with id, on and verdict");
	result = host->read_id(host, id, rule->id);
	result |= host->read_choice(host, verdict, verdicts, 2, &denies);
	rule->kind = denies ? PVCALLS_DENY : PVCALLS_ALLOW;
	if (mode)
		result |= host->read_choice(host, mode, modes, 2, &rule->audit);
	if (error && !denies)
		result |= host->error_at(host, error, "errno without \"verdict: deny\"");
	result |= host->read_ops(host, on, denies ? ALL & ~BIT(PVCALLS_OP_RELEASE) : ALL, &ops);
	if (error && denies)
		result |= host->read_errno_for(host, error, ops, &rule->error);
	result |= rule_check_ends(host, ops, to, from, at);
	if (at && (ops & BIT(PVCALLS_OP_ACCEPT)) && host->value_get(at, "net") &&
	    PVCALLS_HOST_HAS(host, want_local))
		host->want_local(host);
	return result | filter_place_rule(filter, index, ops, to ? to : from, at);
}

static int32_t table_open(const struct pvcalls_host *host, struct table *table)
{
	table->remote = host->set_create(host);
	table->local = host->set_create(host);
	return table->remote && table->local ? 0 : -1;
}

static int32_t table_build(const struct pvcalls_host *host, const struct table *table)
{
	return host->set_build(host, table->remote) | host->set_build(host, table->local);
}

/* The rule that hides another for an operation, or -1; rules in audit mode hide only each other. */
static int32_t filter_find_hiding(const struct filter *filter, uint32_t index, uint32_t op)
{
	static const struct pvcalls_endpoint none;
	const struct rule *rule = &filter->rules[index];
	const struct table *table = rule->audit ? &filter->all : &filter->enforced;
	const struct pvcalls_set *set =
		rule->local && op != PVCALLS_OP_BIND ? table->local : table->remote;
	int32_t found;

	if (rule->ends < 2)
		return filter->host->set_hidden(set, index, op);
	found = filter->host->set_find(table->remote, op, &none);
	return found >= 0 && found < (int32_t)index ? found : -1;
}

/* A rule that no call can find, or a deny of which an allow has taken an operation away. */
static void filter_warn_of_hidden(const struct filter *filter, uint32_t index, value_t *section)
{
	static const char *const names[PVCALLS_OP_COUNT] = {"socket", "connect", "release", "bind",
							    "listen", "accept",  "poll"};
	const struct rule *rule = &filter->rules[index];
	int32_t hiding[PVCALLS_OP_COUNT];
	char text[WARNING_BYTES];
	int32_t by = -1;
	uint32_t hidden = 0;
	uint32_t op;

	for (op = 0; op < PVCALLS_OP_COUNT; op++) {
		hiding[op] = (rule->ops & BIT(op)) ? filter_find_hiding(filter, index, op) : -1;
		hidden |= hiding[op] >= 0 ? BIT(op) : 0;
		by = hiding[op] >= 0 ? hiding[op] : by;
	}
	if (hidden && hidden == rule->ops) {
		snprintf(text, sizeof(text), HIDDEN, rule->id, "", "", filter->rules[by].id);
		filter->host->warn_at(filter->host, section, text);
		return;
	}
	for (op = 0; op < PVCALLS_OP_COUNT && rule->kind == PVCALLS_DENY && rule->ends; op++) {
		if (hiding[op] < 0 || filter->rules[hiding[op]].kind == PVCALLS_DENY)
			continue;
		snprintf(text, sizeof(text), HIDDEN, rule->id, " for ", names[op],
			 filter->rules[hiding[op]].id);
		filter->host->warn_at(filter->host, section, text);
	}
}

static void *filter_create(const struct pvcalls_host *host, value_t *section)
{
	value_t *rules = host->value_get(section, "rules");
	struct filter *filter = host->alloc(host, sizeof(*filter));
	uint32_t count = host->value_count(rules);
	int32_t result = 0;
	uint32_t i;

	if (host->value_kind(rules) != PVCALLS_VALUE_LIST) {
		host->error_at(host, rules ? rules : section, "no rules; expected a list of rules");
		return NULL;
	}
	if (!filter || table_open(host, &filter->all) || table_open(host, &filter->enforced))
		return NULL;
	filter->host = host;
	filter->rules = host->alloc(host, (count + 1) * sizeof(*filter->rules));
	if (!filter->rules)
		return NULL;
	for (i = 0; i < count; i++)
		result |= filter_read_rule(filter, (int32_t)i, host->value_item(rules, i));
	if (result || table_build(host, &filter->all) || table_build(host, &filter->enforced))
		return NULL;
	for (i = 0; i < count; i++)
		filter_warn_of_hidden(filter, i, host->value_item(rules, i));
	return filter;
}

static int32_t rule_first_of(int32_t a, int32_t b)
{
	if (a < 0 || b < 0)
		return a < 0 ? b : a;
	return a < b ? a : b;
}

/* A bind to 0.0.0.0, or the listen after it. */
static bool call_is_of_all_addresses(const struct pvcalls_call *call,
				     const struct pvcalls_endpoint *local)
{
	static const uint8_t all[sizeof(local->addr)];

	return (call->op == PVCALLS_OP_BIND || call->op == PVCALLS_OP_LISTEN) &&
	       memcmp(local->addr, all, sizeof(all)) == 0;
}

/*
 * 0.0.0.0 means all of the host's addresses: a rule that denies one of them denies it. found is
 * what was found for 0.0.0.0 itself; returns that, or the first such rule that stands before it.
 */
static int32_t filter_find_denied(const struct filter *filter, const struct table *table,
				  const struct pvcalls_call *call,
				  const struct pvcalls_endpoint *local, int32_t found)
{
	const struct pvcalls_host *host = filter->host;
	struct pvcalls_endpoint one;
	int32_t rule;
	uint32_t i;

	for (i = 0; host->host_address(host, i, &one) == 0; i++) {
		one.port = local->port;
		rule = host->set_find(table->local, call->op, &one);
		if (call->op == PVCALLS_OP_BIND)
			rule = rule_first_of(rule, host->set_find(table->remote, call->op, &one));
		if (rule >= 0 && filter->rules[rule].kind == PVCALLS_DENY)
			found = rule_first_of(found, rule);
	}
	return found;
}

static int32_t filter_find(const struct filter *filter, const struct table *table,
			   const struct pvcalls_call *call)
{
	const struct pvcalls_host *host = filter->host;
	const struct pvcalls_endpoint *local =
		call->op == PVCALLS_OP_BIND ? &call->effective : &call->local;
	int32_t found = rule_first_of(host->set_find(table->remote, call->op, &call->effective),
				      host->set_find(table->local, call->op, local));
	const struct pair *pair;
	uint32_t i;

	/* A bind to port 0 is for a connect: see filter_lets_only_connect(). */
	if (call_is_of_all_addresses(call, local) &&
	    (local->port || (found >= 0 && call->op == PVCALLS_OP_LISTEN)) &&
	    PVCALLS_HOST_HAS(host, host_address))
		return filter_find_denied(filter, table, call, local, found);
	for (i = 0; call->op == PVCALLS_OP_ACCEPT && i < filter->pair_count; i++) {
		pair = &filter->pairs[i];
		if (found >= 0 && found < pair->rule)
			break;
		if (table == &filter->enforced && filter->rules[pair->rule].audit)
			continue;
		if (host->set_find(pair->set, PVCALLS_OP_ACCEPT, &call->effective) == 0 &&
		    host->set_find(pair->set, PVCALLS_OP_LISTEN, local) == 1)
			return pair->rule;
	}
	return found;
}

/*
 * A bind to 0.0.0.0, port 0, is what programs make before a connect, so a deny of one address does
 * not deny it; but to listen there would open that address, too.
 */
static bool filter_lets_only_connect(const struct filter *filter, const struct pvcalls_call *call)
{
	const struct pvcalls_endpoint *at = &call->effective;
	int32_t found;

	if (call->op != PVCALLS_OP_BIND || at->port || !call_is_of_all_addresses(call, at) ||
	    !PVCALLS_HOST_HAS(filter->host, host_address))
		return false;
	found = filter_find(filter, &filter->enforced, call);
	return filter_find_denied(filter, &filter->enforced, call, at, found) != found;
}

static void rule_say(const struct rule *rule, struct pvcalls_verdict *verdict)
{
	verdict->kind = rule->kind;
	verdict->error = rule->error;
	memcpy(verdict->rule, rule->id, sizeof(rule->id));
}

static void filter_decide(void *instance, const struct pvcalls_call *call,
			  struct pvcalls_verdict *verdict)
{
	const struct filter *filter = instance;
	int32_t found = filter_find(filter, &filter->all, call);
	int32_t enforced;

	if (filter_lets_only_connect(filter, call))
		verdict->flags = PVCALLS_VERDICT_CONNECTS_ONLY;
	if (found < 0)
		return;
	rule_say(&filter->rules[found], verdict);
	if (!filter->rules[found].audit)
		return;
	enforced = filter_find(filter, &filter->enforced, call);
	if (enforced >= 0 && filter->rules[enforced].kind == PVCALLS_DENY) {
		rule_say(&filter->rules[enforced], verdict);
		return;
	}
	verdict->flags |= PVCALLS_VERDICT_AUDIT_ONLY;
	verdict->enforced = enforced >= 0 ? PVCALLS_ALLOW : PVCALLS_DEFER;
}

/* An allow of the first address says nothing about another; a deny of that one counts. */
static void filter_check(void *instance, const struct pvcalls_call *call,
			 struct pvcalls_verdict *verdict)
{
	filter_decide(instance, call, verdict);
	verdict->enforced = PVCALLS_DEFER;
	if (verdict->kind == PVCALLS_DENY)
		return;
	verdict->kind = PVCALLS_DEFER;
	verdict->flags &= PVCALLS_VERDICT_CONNECTS_ONLY;
}

/* The nearest miss so far. */
struct near {
	int32_t rule;
	uint32_t misses; /* 0: none yet */
	char text[PVCALLS_REASON_MAX];
};

/* What a set says of an endpoint, if that is nearer. */
static void near_ask(struct near *near, const struct filter *filter, const struct pvcalls_set *set,
		     uint32_t op, const struct pvcalls_endpoint *endpoint)
{
	char text[PVCALLS_REASON_MAX];
	uint32_t misses;
	int32_t rule = filter->host->set_nearest(set, op, endpoint, text, sizeof(text), &misses);

	if (rule < 0 || (near->misses && misses >= near->misses))
		return;
	near->rule = rule;
	near->misses = misses;
	memcpy(near->text, text, sizeof(text));
}

/* A rule with two ends: the one that does not fit; if neither does, the peer's is told. */
static void near_ask_pair(struct near *near, const struct filter *filter, const struct pair *pair,
			  const struct pvcalls_call *call)
{
	const struct pvcalls_host *host = filter->host;
	bool from = host->set_find(pair->set, PVCALLS_OP_ACCEPT, &call->effective) == 0;
	bool at = host->set_find(pair->set, PVCALLS_OP_LISTEN, &call->local) == 1;
	struct near its = {.rule = -1};

	if (filter->rules[pair->rule].kind == PVCALLS_DENY || filter->rules[pair->rule].audit)
		return;
	if (from)
		near_ask(&its, filter, pair->set, PVCALLS_OP_LISTEN, &call->local);
	else
		near_ask(&its, filter, pair->set, PVCALLS_OP_ACCEPT, &call->effective);
	if (!from && !at)
		its.misses = PVCALLS_MISS_ADDRESS | PVCALLS_MISS_PORT;
	if (!its.misses || (near->misses && its.misses >= near->misses))
		return;
	its.rule = pair->rule;
	*near = its;
}

static int32_t filter_explain(void *instance, const struct pvcalls_call *call, char *rule,
			      char *reason)
{
	const struct filter *filter = instance;
	const struct pvcalls_endpoint *local =
		call->op == PVCALLS_OP_BIND ? &call->effective : &call->local;
	struct near near = {.rule = -1};
	uint32_t i;

	near_ask(&near, filter, filter->enforced.remote, call->op, &call->effective);
	near_ask(&near, filter, filter->enforced.local, call->op, local);
	for (i = 0; call->op == PVCALLS_OP_ACCEPT && i < filter->pair_count; i++)
		near_ask_pair(&near, filter, &filter->pairs[i], call);
	if (near.rule < 0)
		return 0;
	memcpy(rule, filter->rules[near.rule].id, PVCALLS_RULE_MAX);
	memcpy(reason, near.text, PVCALLS_REASON_MAX);
	return (int32_t)near.misses;
}

PVCALLS_PLUGIN(.name = "filter", .version = "1.0",
	       .description = "allows and denies calls by operation, address and port", .ops = ALL,
	       .create = filter_create, .decide = filter_decide, .check = filter_check,
	       .explain = filter_explain);
