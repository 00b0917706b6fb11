/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Deciding a call: floor, chain, and after a rewrite floor and checks again.
 *
 * Theory of operation. The chain is asked in order. Whoever speaks with the most weight so far
 * stands in the decision: an allow yields to a deny that is only tried out, and that to a real one,
 * which ends the chain. With `mode: audit` a deny is only tried out whoever says it, so the chain
 * goes on, rewrites and meters included, as it would if the call were allowed. A plugin's fault
 * always denies. A deny of the floor is kept aside, since a rewrite may still move the call
 * elsewhere: if none does, it is the decision. Nothing here allocates memory.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "policy/instance.h"

#define FAMILY_INET 2u

/* What stands in the decision so far, by weight. */
enum weight {
	WEIGHT_NOTHING,
	WEIGHT_ALLOW,
	WEIGHT_WOULD_DENY,
	WEIGHT_DENY,
	WEIGHT_FAULT,
};

/* One call on its way through the chain. */
struct trial {
	struct policy *policy;
	struct pvcalls_call *view;
	struct decision *decision;
	enum weight weight;
	bool allowed;                 /* somebody said so, whatever stands in the decision */
	char tried[PVCALLS_RULE_MAX]; /* a rule with mode: audit that would allow */
};

static void copy_text(char *to, const char *from, size_t size)
{
	size_t length = strnlen(from, size - 1);

	memcpy(to, from, length);
	to[length] = '\0';
}

/* Writes into the decision who says what, unless something of the same weight stands there. */
static bool take(struct trial *trial, enum weight weight, const char *decider, const char *rule,
		 const char *reason)
{
	struct decision *decision = trial->decision;

	if (weight <= trial->weight)
		return false;
	trial->weight = weight;
	copy_text(decision->decider, decider, sizeof(decision->decider));
	copy_text(decision->rule, rule, sizeof(decision->rule));
	copy_text(decision->reason, reason, sizeof(decision->reason));
	return true;
}

static void take_fault(struct trial *trial, struct instance *instance, const char *rule,
		       const char *reason)
{
	instance->stats.faults++;
	if (take(trial, WEIGHT_FAULT, instance->plugin->name, rule, reason))
		trial->decision->error = -EACCES;
}

static void take_deny(struct trial *trial, struct instance *instance,
		      const struct pvcalls_verdict *verdict)
{
	bool only_tried = trial->policy->audit || (verdict->flags & PVCALLS_VERDICT_AUDIT_ONLY);
	uint32_t error = verdict->error ? verdict->error : EACCES;

	if (!hook_error_is_valid(error)) {
		take_fault(trial, instance, verdict->rule, "denied with an unknown errno");
		return;
	}
	if (take(trial, only_tried ? WEIGHT_WOULD_DENY : WEIGHT_DENY, instance->plugin->name,
		 verdict->rule, verdict->reason))
		trial->decision->error = -(int)error;
}

static void take_allow(struct trial *trial, const struct instance *instance,
		       const struct pvcalls_verdict *verdict)
{
	if (verdict->flags & PVCALLS_VERDICT_AUDIT_ONLY) {
		copy_text(trial->tried, verdict->rule, sizeof(trial->tried));
		return;
	}
	trial->allowed = true;
	take(trial, WEIGHT_ALLOW, instance->plugin->name, verdict->rule, verdict->reason);
}

static void take_rewrite(struct trial *trial, struct instance *instance,
			 const struct pvcalls_verdict *verdict)
{
	static const uint8_t zeros[12];

	if (!call_operations[trial->view->op].names_endpoint)
		take_fault(trial, instance, verdict->rule, "rewrote a call without an address");
	else if (verdict->endpoint.family != FAMILY_INET ||
		 memcmp(verdict->endpoint.addr + 4, zeros, sizeof(zeros)) != 0)
		take_fault(trial, instance, verdict->rule, "rewrote to no IPv4 address");
	else
		trial->view->effective = verdict->endpoint;
}

static void take_delay(struct trial *trial, struct instance *instance,
		       const struct pvcalls_verdict *verdict)
{
	if (verdict->delay_ns > PVCALLS_DELAY_MAX_NS)
		take_fault(trial, instance, verdict->rule, "asked for a delay of over 30 s");
	else if (verdict->delay_ns > trial->decision->delay_ns)
		trial->decision->delay_ns = verdict->delay_ns;
}

/* The first plugin that attaches a meter has it: one stream, one meter each way. */
static void take_meters(struct trial *trial, const struct pvcalls_verdict *verdict)
{
	if (!trial->decision->meter_in)
		trial->decision->meter_in = verdict->meter_in;
	if (!trial->decision->meter_out)
		trial->decision->meter_out = verdict->meter_out;
}

/* Whether flags and what goes with them make sense. */
static bool flags_are_valid(const struct pvcalls_verdict *verdict)
{
	if (verdict->flags & ~PVCALLS_VERDICT_AUDIT_ONLY)
		return false;
	if (!(verdict->flags & PVCALLS_VERDICT_AUDIT_ONLY))
		return true;
	return verdict->kind == PVCALLS_ALLOW || verdict->kind == PVCALLS_DENY;
}

static void take_verdict(struct trial *trial, struct instance *instance,
			 struct pvcalls_verdict *verdict)
{
	verdict->rule[PVCALLS_RULE_MAX - 1] = '\0';
	verdict->reason[PVCALLS_REASON_MAX - 1] = '\0';
	if (!flags_are_valid(verdict)) {
		take_fault(trial, instance, verdict->rule, "answered with unknown flags");
		return;
	}
	take_meters(trial, verdict);
	if ((verdict->flags & PVCALLS_VERDICT_AUDIT_ONLY) && verdict->enforced == PVCALLS_ALLOW)
		trial->allowed = true;
	if (verdict->kind == PVCALLS_ALLOW)
		take_allow(trial, instance, verdict);
	else if (verdict->kind == PVCALLS_DENY)
		take_deny(trial, instance, verdict);
	else if (verdict->kind == PVCALLS_REWRITE)
		take_rewrite(trial, instance, verdict);
	else if (verdict->kind == PVCALLS_DELAY)
		take_delay(trial, instance, verdict);
	else if (verdict->kind != PVCALLS_DEFER)
		take_fault(trial, instance, verdict->rule, "answered with an unknown verdict");
}

/* Ends the measurement of a hook; a fault of time is a fault, and so is being late twice. */
static void take_time(struct trial *trial, struct instance *instance)
{
	char reason[PVCALLS_REASON_MAX];
	uint64_t took_ns;
	enum hook_time time = hooks_end(&trial->policy->watch, &took_ns);
	bool twice = time == HOOK_LATE && instance->late;

	instance->late = time == HOOK_LATE;
	if (time == HOOK_FINE)
		return;
	instance->stats.slow++;
	if (time != HOOK_FAULT && !twice)
		return;
	snprintf(reason, sizeof(reason), "took %llu us; at most %u are allowed",
		 (unsigned long long)(took_ns / 1000), PVCALLS_HOOK_FAULT_NS / 1000);
	take_fault(trial, instance, "", reason);
}

static void clear_verdict(struct pvcalls_verdict *verdict)
{
	memset(verdict, 0, sizeof(*verdict));
	verdict->size = sizeof(*verdict);
}

static void run_chain(struct trial *trial)
{
	struct policy *policy = trial->policy;
	struct pvcalls_verdict verdict;
	struct instance *instance;
	uint32_t i;

	for (i = 0; i < policy->count && trial->weight < WEIGHT_DENY; i++) {
		instance = &policy->instances[i];
		if (!instance->plugin->decide || !(instance->plugin->ops & 1u << trial->view->op))
			continue;
		clear_verdict(&verdict);
		instance->plugin->decide(instance->state, trial->view, &verdict);
		take_time(trial, instance);
		take_verdict(trial, instance, &verdict);
	}
}

static void check_again(struct trial *trial)
{
	struct policy *policy = trial->policy;
	struct pvcalls_verdict verdict;
	struct instance *instance;
	uint32_t i;

	for (i = 0; i < policy->count && trial->weight < WEIGHT_DENY; i++) {
		instance = &policy->instances[i];
		if (!instance->plugin->check || !(instance->plugin->ops & 1u << trial->view->op))
			continue;
		clear_verdict(&verdict);
		instance->plugin->check(instance->state, trial->view, &verdict);
		take_time(trial, instance);
		if (verdict.kind != PVCALLS_DENY && verdict.kind != PVCALLS_DEFER)
			take_fault(trial, instance, "", "a check may only deny or defer");
		else
			take_verdict(trial, instance, &verdict);
	}
}

static bool is_same_endpoint(const struct pvcalls_endpoint *a, const struct pvcalls_endpoint *b)
{
	return a->family == b->family && a->port == b->port &&
	       memcmp(a->addr, b->addr, sizeof(a->addr)) == 0;
}

/* The nearest miss that a plugin knows of, as the reason; else what the default is. */
static void explain_default(struct trial *trial, char reason[PVCALLS_REASON_MAX])
{
	struct policy *policy = trial->policy;
	const struct instance *instance;
	char rule[PVCALLS_RULE_MAX] = "";
	char text[PVCALLS_REASON_MAX] = "";
	uint32_t i;

	for (i = 0; i < policy->count && !rule[0]; i++) {
		instance = &policy->instances[i];
		if (!instance->plugin->explain ||
		    !(instance->plugin->ops & 1u << trial->view->op) ||
		    instance->plugin->explain(instance->state, trial->view, rule, text) != 1)
			rule[0] = '\0';
		rule[sizeof(rule) - 1] = text[sizeof(text) - 1] = '\0';
	}
	if (trial->tried[0])
		snprintf(reason, PVCALLS_REASON_MAX, "%s would allow it, but has mode: audit",
			 trial->tried);
	else if (rule[0])
		snprintf(reason, PVCALLS_REASON_MAX, "%s: %.*s", rule,
			 (int)(PVCALLS_REASON_MAX - strlen(rule) - 3), text);
	else if (policy->denies_all)
		snprintf(reason, PVCALLS_REASON_MAX, "no policy is for this guest");
	else
		snprintf(reason, PVCALLS_REASON_MAX, "no rule of policy %s allows it",
			 policy->name);
}

/* What holds where nobody allowed. */
static void take_default(struct trial *trial)
{
	char reason[PVCALLS_REASON_MAX];
	const struct policy *policy = trial->policy;

	if (trial->allowed || trial->weight >= WEIGHT_DENY)
		return;
	if (call_operations[trial->view->op].default_allows && !policy->denies_all) {
		take(trial, WEIGHT_ALLOW, "default", "", "this operation needs no rule");
		return;
	}
	if (call_operations[trial->view->op].always_runs || policy->default_allows) {
		take(trial, WEIGHT_ALLOW, "default", "default", "default: allow");
		return;
	}
	if (policy->audit && trial->weight >= WEIGHT_WOULD_DENY)
		return;
	explain_default(trial, reason);
	if (take(trial, policy->audit ? WEIGHT_WOULD_DENY : WEIGHT_DENY, "default", "default",
		 reason))
		trial->decision->error = -EACCES;
}

/* From what stands in the decision to a verdict. */
static void settle(struct trial *trial)
{
	struct decision *decision = trial->decision;

	switch (trial->weight) {
	case WEIGHT_ALLOW:
		decision->verdict = VERDICT_ALLOW;
		break;
	case WEIGHT_WOULD_DENY:
		decision->verdict = VERDICT_WOULD_DENY;
		break;
	case WEIGHT_FAULT:
		decision->verdict = VERDICT_FAULT;
		break;
	case WEIGHT_NOTHING:
	case WEIGHT_DENY:
		decision->verdict = VERDICT_DENY;
		break;
	}
	/* A socket's end can't be refused: who tries is told of, and the socket is released. */
	if (call_operations[trial->view->op].always_runs && !decision_permits(decision)) {
		decision->verdict = VERDICT_WOULD_DENY;
		copy_text(decision->reason, "fault: a release can not be denied",
			  sizeof(decision->reason));
	}
	if (decision_permits(decision))
		decision->error = 0;
	else
		decision->meter_in = decision->meter_out = 0;
	if (!decision_permits(decision) || call_operations[trial->view->op].always_runs)
		decision->delay_ns = 0;
}

static void judge_floor(struct trial *trial)
{
	struct floor_verdict verdict = floor_judge(&trial->policy->floor, trial->view);

	if (verdict.rule && take(trial, WEIGHT_DENY, "floor", verdict.rule, verdict.reason))
		trial->decision->error = -EACCES;
}

static bool floor_concerns(uint32_t op)
{
	return op == PVCALLS_OP_CONNECT || op == PVCALLS_OP_BIND || op == PVCALLS_OP_LISTEN;
}

/* Floor and checks on the address that will really be used, if it is not the one asked for. */
static void judge_rewritten(struct trial *trial)
{
	trial->decision->rewritten =
		!is_same_endpoint(&trial->view->requested, &trial->view->effective);
	if (!trial->decision->rewritten || trial->weight >= WEIGHT_DENY)
		return;
	judge_floor(trial);
	check_again(trial);
}

/* The floor's word on the effective address, the host's view refreshed. *unknown: it can't be. */
static struct floor_verdict judge_refreshed(struct policy *policy, const struct pvcalls_call *view,
					    bool *unknown)
{
	static const struct floor_verdict host_unknown = {
		"host-unknown", "the host's own addresses can not be read"};
	static const struct floor_verdict none;

	*unknown = false;
	if (!floor_concerns(view->op))
		return none;
	*unknown = floor_refresh(&policy->floor) != 0;
	return *unknown ? host_unknown : floor_judge(&policy->floor, view);
}

void policy_decide(struct policy *policy, struct pvcalls_call *view, struct decision *decision)
{
	struct trial trial = {.policy = policy, .view = view, .decision = decision};
	struct floor_verdict requested;
	bool unknown; /* then no rewrite helps */

	memset(decision, 0, sizeof(*decision));
	view->effective = view->requested;
	requested = judge_refreshed(policy, view, &unknown);
	hooks_begin(&policy->watch);
	run_chain(&trial);
	if (call_operations[view->op].names_endpoint)
		judge_rewritten(&trial);
	if (requested.rule && (unknown || !decision->rewritten)) {
		trial.weight = WEIGHT_NOTHING;
		if (take(&trial, WEIGHT_DENY, "floor", requested.rule, requested.reason))
			decision->error = -EACCES;
	}
	take_default(&trial);
	settle(&trial);
	decision->effective = view->effective;
}

bool policy_judge_waited(struct policy *policy, struct pvcalls_call *view,
			 struct decision *decision)
{
	struct trial trial = {.policy = policy, .view = view, .decision = decision};
	struct floor_verdict verdict;
	bool unknown;

	ASSERT(decision_permits(decision));
	view->effective = decision->effective;
	verdict = judge_refreshed(policy, view, &unknown);
	if (!verdict.rule)
		return false;
	take(&trial, WEIGHT_DENY, "floor", verdict.rule, verdict.reason);
	decision->error = -EACCES;
	settle(&trial);
	return true;
}
