/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/chain.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "call/hook_mark.h"
#include "policy/policy_state.h"
#include "policy/trial.h"

static void verdict_clear(struct pvcalls_verdict *verdict)
{
	memset(verdict, 0, sizeof(*verdict));
	verdict->size = sizeof(*verdict);
}

static void chain_run(struct policy *policy, struct trial *trial)
{
	struct pvcalls_verdict verdict;
	struct instance *instance;
	uint32_t i;

	for (i = 0; i < policy->count && trial->weight < TRIAL_DENY; i++) {
		instance = &policy->instances[i];
		if (!instance->plugin->decide || !(instance->plugin->ops & 1u << trial->view->op))
			continue;
		verdict_clear(&verdict);
		hook_mark_begin(policy->shared.mark, HOOK_KIND_DECIDE, instance->plugin->name);
		instance->plugin->decide(instance->state, trial->view, &verdict);
		hook_mark_end(policy->shared.mark);
		trial_take_time(trial, instance);
		trial_take_verdict(trial, instance, &verdict);
	}
}

static void chain_check(struct policy *policy, struct trial *trial)
{
	struct pvcalls_verdict verdict;
	struct instance *instance;
	uint32_t i;

	for (i = 0; i < policy->count && trial->weight < TRIAL_DENY; i++) {
		instance = &policy->instances[i];
		if (!instance->plugin->check || !(instance->plugin->ops & 1u << trial->view->op))
			continue;
		verdict_clear(&verdict);
		hook_mark_begin(policy->shared.mark, HOOK_KIND_CHECK, instance->plugin->name);
		instance->plugin->check(instance->state, trial->view, &verdict);
		hook_mark_end(policy->shared.mark);
		trial_take_time(trial, instance);
		if (verdict.kind != PVCALLS_DENY && verdict.kind != PVCALLS_DEFER)
			trial_take_fault(trial, instance, "", "a check may only deny or defer");
		else
			trial_take_verdict(trial, instance, &verdict);
	}
}

static bool chain_is_same_endpoint(const struct pvcalls_endpoint *a,
				   const struct pvcalls_endpoint *b)
{
	return a->family == b->family && a->port == b->port &&
	       memcmp(a->addr, b->addr, sizeof(a->addr)) == 0;
}

/* The nearest miss that a plugin knows of, and its rule; whether one does. */
static bool chain_find_near_miss(const struct policy *policy, const struct pvcalls_call *call,
				 char rule[PVCALLS_RULE_MAX], char text[PVCALLS_REASON_MAX])
{
	char its_rule[PVCALLS_RULE_MAX];
	char its_text[PVCALLS_REASON_MAX];
	const struct instance *instance;
	int32_t nearest = 0;
	int32_t far;
	uint32_t i;

	for (i = 0; i < policy->count; i++) {
		instance = &policy->instances[i];
		if (!instance->plugin->explain || !(instance->plugin->ops & 1u << call->op))
			continue;
		its_rule[0] = its_text[0] = '\0';
		hook_mark_begin(policy->shared.mark, HOOK_KIND_EXPLAIN, instance->plugin->name);
		far = instance->plugin->explain(instance->state, call, its_rule, its_text);
		hook_mark_end(policy->shared.mark);
		if (far <= 0 || (nearest && far >= nearest))
			continue;
		nearest = far;
		its_rule[PVCALLS_RULE_MAX - 1] = its_text[PVCALLS_REASON_MAX - 1] = '\0';
		memcpy(rule, its_rule, PVCALLS_RULE_MAX);
		memcpy(text, its_text, PVCALLS_REASON_MAX);
	}
	return nearest && rule[0];
}

/* The nearest miss that a plugin knows of, as the reason; else what the default is. */
static void chain_explain_default(const struct policy *policy, const struct trial *trial,
				  char reason[PVCALLS_REASON_MAX])
{
	char rule[PVCALLS_RULE_MAX] = "";
	char text[PVCALLS_REASON_MAX] = "";

	if (trial->tried[0])
		snprintf(reason, PVCALLS_REASON_MAX, "%s would allow it, but has mode: audit",
			 trial->tried);
	else if (chain_find_near_miss(policy, trial->view, rule, text))
		snprintf(reason, PVCALLS_REASON_MAX, "%s: %.*s", rule,
			 (int)(PVCALLS_REASON_MAX - strlen(rule) - 3), text);
	else if (policy->denies_all)
		snprintf(reason, PVCALLS_REASON_MAX, "no policy is for this guest");
	else
		snprintf(reason, PVCALLS_REASON_MAX, "no rule of policy %s allows it",
			 policy->name);
}

/*
 * A bind to port 0, as programs make it before a connect, opens nothing: a listen on that socket is
 * denied, and until it connects it has no port.
 */
static bool chain_needs_no_rule(const struct policy *policy, const struct trial *trial)
{
	return trial->view->op == PVCALLS_OP_BIND && trial->view->effective.port == 0 &&
	       !policy->denies_all;
}

static bool chain_is_of_free_bind(const struct trial *trial)
{
	return trial->view->op == PVCALLS_OP_LISTEN &&
	       (trial->view->flags & PVCALLS_CALL_BOUND_WITHOUT_RULE);
}

/* What holds where nobody allowed. */
static void chain_take_default(const struct policy *policy, struct trial *trial)
{
	char reason[PVCALLS_REASON_MAX] =
		"bound to port 0 without a rule for that: only to connect";

	if ((trial->allowed && !chain_is_of_free_bind(trial)) || trial->weight >= TRIAL_DENY)
		return;
	if (call_operations[trial->view->op].default_allows && !policy->denies_all) {
		trial_say(trial, TRIAL_ALLOW, 0, "default", "", "this operation needs no rule");
		return;
	}
	if (call_operations[trial->view->op].always_runs ||
	    (policy->default_allows && !chain_is_of_free_bind(trial))) {
		trial_say(trial, TRIAL_ALLOW, 0, "default", "default", "default: allow");
		return;
	}
	if (policy->audit && trial->weight >= TRIAL_WOULD_DENY)
		return;
	if (chain_needs_no_rule(policy, trial)) {
		trial->decision->only_connects = true;
		trial_say(trial, TRIAL_ALLOW, 0, "default", "", "port 0 needs no rule");
		return;
	}
	if (!chain_is_of_free_bind(trial))
		chain_explain_default(policy, trial, reason);
	trial_say(trial, policy->audit ? TRIAL_WOULD_DENY : TRIAL_DENY, -EACCES, "default",
		  "default", reason);
}

static void chain_say_host_denial(struct trial *trial, struct host_denial denial)
{
	ASSERT(denial.rule);
	trial_say(trial, TRIAL_DENY, denial.error ? denial.error : -EACCES, "floor", denial.rule,
		  denial.reason);
}

/* The host rules' word stands, whatever plugins have said. */
static void chain_overrule(struct trial *trial, struct host_denial denial)
{
	trial->weight = TRIAL_NOTHING;
	chain_say_host_denial(trial, denial);
}

/*
 * Host rules and checks on the address that will really be used, if it is not the one asked for.
 * Returns a denial that is only for who may otherwise go there.
 */
static struct host_denial chain_judge_rewritten(struct policy *policy, struct trial *trial)
{
	struct host_denial denial = {NULL, NULL, 0};
	struct decision *decision = trial->decision;

	decision->rewritten =
		!chain_is_same_endpoint(&trial->view->requested, &trial->view->effective);
	if (!decision->rewritten)
		decision->rewriter[0] = decision->rewrite_rule[0] = '\0';
	if (!decision->rewritten || trial->weight >= TRIAL_DENY)
		return denial;
	denial = host_rules_judge(&policy->rules, trial->view);
	if (denial.rule && !denial.error)
		chain_say_host_denial(trial, denial);
	chain_check(policy, trial);
	return denial;
}

void policy_decide(struct policy *policy, struct pvcalls_call *view, struct decision *decision)
{
	struct trial trial = {.view = view,
			      .decision = decision,
			      .watch = &policy->watch,
			      .audit = policy->audit};
	struct host_denial requested;
	struct host_denial last = {NULL, NULL, 0};
	bool unknown; /* then no rewrite helps */

	ASSERT(view->op < PVCALLS_OP_COUNT && !policy->shared.compiling);
	memset(decision, 0, sizeof(*decision));
	view->effective = view->requested;
	requested = host_rules_judge_now(&policy->rules, view, &unknown);
	hook_watch_begin(&policy->watch);
	chain_run(policy, &trial);
	if (call_operations[view->op].names_endpoint)
		last = chain_judge_rewritten(policy, &trial);
	if (requested.rule && (unknown || !decision->rewritten)) {
		if (requested.error)
			last = requested;
		else
			chain_overrule(&trial, requested);
	}
	chain_take_default(policy, &trial);
	if (last.rule && trial.weight < TRIAL_DENY)
		chain_overrule(&trial, last);
	if (view->op == PVCALLS_OP_BIND)
		decision->only_connects =
			view->effective.port == 0 &&
			(decision->only_connects ||
			 host_rules_let_connect_only(&policy->rules, &view->effective));
	trial_settle(&trial);
	decision->effective = view->effective;
}

bool policy_judge_waited(struct policy *policy, struct pvcalls_call *view,
			 struct decision *decision)
{
	struct trial trial = {.view = view, .decision = decision};
	struct host_denial denial;
	bool unknown;

	ASSERT(decision_permits(decision));
	view->effective = decision->effective;
	if (policy->rules.host)
		host_view_look(policy->rules.host);
	denial = host_rules_judge_now(&policy->rules, view, &unknown);
	if (!denial.rule)
		return false;
	chain_say_host_denial(&trial, denial);
	trial_settle(&trial);
	return true;
}

bool policy_may_be_host(const struct policy *policy, const struct pvcalls_endpoint *endpoint)
{
	return !policy->rules.host || host_view_has_address(policy->rules.host, endpoint->addr);
}

bool policy_wants_local(const struct policy *policy)
{
	return policy->shared.wants_local;
}

static uint32_t chain_enforced(const struct decision *decision)
{
	if (decision->verdict == VERDICT_NONE)
		return PVCALLS_DEFER;
	return decision_permits(decision) ? PVCALLS_ALLOW : PVCALLS_DENY;
}

void policy_observe(struct policy *policy, const struct pvcalls_call *view,
		    const struct decision *decision, int32_t result)
{
	struct pvcalls_outcome outcome = {
		.size = sizeof(outcome),
		.verdict = chain_enforced(decision),
		.result = result,
		.rewritten = decision->rewritten,
		.decider = decision->decider,
		.rule = decision->rule,
		.reason = decision->reason,
		.rewriter = decision->rewriter,
		.rewrite_rule = decision->rewrite_rule,
		.unenforced = decision->verdict == VERDICT_WOULD_DENY,
	};
	struct instance *instance;
	uint64_t took_ns;
	bool begun = false;
	uint32_t i;

	for (i = 0; i < policy->count; i++) {
		instance = &policy->instances[i];
		if (!instance->plugin->observe || !(instance->plugin->ops >> view->op & 1))
			continue;
		if (!begun)
			hook_watch_begin(&policy->watch);
		begun = true;
		hook_mark_begin(policy->shared.mark, HOOK_KIND_OBSERVE, instance->plugin->name);
		instance->plugin->observe(instance->state, view, &outcome);
		hook_mark_end(policy->shared.mark);
		if (hook_watch_end(&policy->watch, &took_ns) != HOOK_FINE)
			instance->stats.slow++;
	}
}

void policy_slept(struct policy *policy)
{
	hook_watch_slept(&policy->watch);
}

void policy_may_have_slept(struct policy *policy)
{
	hook_watch_may_have_slept(&policy->watch);
}
