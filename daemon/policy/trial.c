/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/trial.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "policy/match/address.h"
#include "policy/plugin_host/plugin_options.h"

static void trial_copy_text(char *to, const char *from, size_t size)
{
	size_t length = strnlen(from, size - 1);

	memcpy(to, from, length);
	to[length] = '\0';
}

bool trial_say(struct trial *trial, enum trial_weight weight, int error, const char *decider,
	       const char *rule, const char *reason)
{
	struct decision *decision = trial->decision;

	ASSERT(error <= 0 && (error < 0) == (weight > TRIAL_ALLOW));
	if (weight <= trial->weight)
		return false;
	trial->weight = weight;
	decision->error = error;
	trial_copy_text(decision->decider, decider, sizeof(decision->decider));
	trial_copy_text(decision->rule, rule, sizeof(decision->rule));
	trial_copy_text(decision->reason, reason, sizeof(decision->reason));
	return true;
}

void trial_take_fault(struct trial *trial, struct instance *instance, const char *rule,
		      const char *reason)
{
	instance->stats.faults++;
	trial_say(trial, TRIAL_FAULT, -EACCES, instance->plugin->name, rule, reason);
}

static void trial_take_deny(struct trial *trial, struct instance *instance,
			    const struct pvcalls_verdict *verdict)
{
	bool only_tried = trial->audit || (verdict->flags & PVCALLS_VERDICT_AUDIT_ONLY);
	uint32_t error = verdict->error ? verdict->error : EACCES;

	if (!plugin_error_is_valid(error, 1u << trial->view->op)) {
		trial_take_fault(trial, instance, verdict->rule,
				 "denied with an errno that is unknown or ends no call");
		return;
	}
	trial_say(trial, only_tried ? TRIAL_WOULD_DENY : TRIAL_DENY, -(int)error,
		  instance->plugin->name, verdict->rule, verdict->reason);
}

static void trial_take_allow(struct trial *trial, const struct instance *instance,
			     const struct pvcalls_verdict *verdict)
{
	if (verdict->flags & PVCALLS_VERDICT_AUDIT_ONLY) {
		trial_copy_text(trial->tried, verdict->rule, sizeof(trial->tried));
		return;
	}
	trial->allowed = true;
	trial_say(trial, TRIAL_ALLOW, 0, instance->plugin->name, verdict->rule, verdict->reason);
}

/* The last one to rewrite is the one whose address is used. */
static void trial_follow_rewrite(struct trial *trial, const char *plugin,
				 const struct pvcalls_verdict *verdict)
{
	struct decision *decision = trial->decision;

	trial->view->effective = verdict->endpoint;
	trial_copy_text(decision->rewriter, plugin, sizeof(decision->rewriter));
	trial_copy_text(decision->rewrite_rule, verdict->rule, sizeof(decision->rewrite_rule));
}

static void trial_take_rewrite(struct trial *trial, struct instance *instance,
			       const struct pvcalls_verdict *verdict)
{
	if (!call_operations[trial->view->op].names_endpoint)
		trial_take_fault(trial, instance, verdict->rule,
				 "rewrote a call without an address");
	else if (!address_is_ipv4(&verdict->endpoint))
		trial_take_fault(trial, instance, verdict->rule, "rewrote to no IPv4 address");
	else
		trial_follow_rewrite(trial, instance->plugin->name, verdict);
}

static void trial_take_delay(struct trial *trial, struct instance *instance,
			     const struct pvcalls_verdict *verdict)
{
	if (verdict->delay_ns > PVCALLS_DELAY_MAX_NS)
		trial_take_fault(trial, instance, verdict->rule, "asked for a delay of over 30 s");
	if (verdict->delay_ns > PVCALLS_DELAY_MAX_NS ||
	    verdict->delay_ns <= trial->decision->delay_ns)
		return;
	trial->decision->delay_ns = verdict->delay_ns;
	trial_copy_text(trial->delayer, instance->plugin->name, sizeof(trial->delayer));
	trial_copy_text(trial->delay_rule, verdict->rule, sizeof(trial->delay_rule));
}

/* The first plugin that attaches a meter has it: one stream, one meter each way. */
static void trial_take_meters(struct trial *trial, const struct pvcalls_verdict *verdict)
{
	if (!trial->decision->meter_in)
		trial->decision->meter_in = verdict->meter_in;
	if (!trial->decision->meter_out)
		trial->decision->meter_out = verdict->meter_out;
}

/* Whether flags and what goes with them make sense. */
static bool verdict_flags_are_valid(const struct pvcalls_verdict *verdict,
				    const struct pvcalls_call *view)
{
	if (verdict->flags & ~(PVCALLS_VERDICT_AUDIT_ONLY | PVCALLS_VERDICT_CONNECTS_ONLY))
		return false;
	if ((verdict->flags & PVCALLS_VERDICT_CONNECTS_ONLY) &&
	    (view->op != PVCALLS_OP_BIND || view->effective.port))
		return false;
	if (!(verdict->flags & PVCALLS_VERDICT_AUDIT_ONLY))
		return true;
	return verdict->kind == PVCALLS_ALLOW || verdict->kind == PVCALLS_DENY;
}

void trial_take_verdict(struct trial *trial, struct instance *instance,
			struct pvcalls_verdict *verdict)
{
	verdict->rule[PVCALLS_RULE_MAX - 1] = '\0';
	verdict->reason[PVCALLS_REASON_MAX - 1] = '\0';
	if (!verdict_flags_are_valid(verdict, trial->view)) {
		trial_take_fault(trial, instance, verdict->rule, "answered with unknown flags");
		return;
	}
	trial_take_meters(trial, verdict);
	if (verdict->flags & PVCALLS_VERDICT_CONNECTS_ONLY)
		trial->decision->only_connects = true;
	if ((verdict->flags & PVCALLS_VERDICT_AUDIT_ONLY) && verdict->enforced == PVCALLS_ALLOW)
		trial->allowed = true;
	if (verdict->kind == PVCALLS_ALLOW)
		trial_take_allow(trial, instance, verdict);
	else if (verdict->kind == PVCALLS_DENY)
		trial_take_deny(trial, instance, verdict);
	else if (verdict->kind == PVCALLS_REWRITE)
		trial_take_rewrite(trial, instance, verdict);
	else if (verdict->kind == PVCALLS_DELAY)
		trial_take_delay(trial, instance, verdict);
	else if (verdict->kind != PVCALLS_DEFER)
		trial_take_fault(trial, instance, verdict->rule,
				 "answered with an unknown verdict");
}

void trial_take_time(struct trial *trial, struct instance *instance)
{
	char reason[PVCALLS_REASON_MAX];
	uint64_t took_ns;
	enum hook_time time = hook_watch_end(trial->watch, &took_ns);
	bool twice = time == HOOK_LATE && instance->late;

	instance->late = time == HOOK_LATE;
	if (time == HOOK_FINE)
		return;
	instance->stats.slow++;
	if (time != HOOK_FAULT && !twice)
		return;
	snprintf(reason, sizeof(reason), "took %llu us; at most %u are allowed",
		 (unsigned long long)(took_ns / 1000), PVCALLS_HOOK_FAULT_NS / 1000);
	trial_take_fault(trial, instance, "", reason);
}

/* With mode: audit nothing waits; that it would have is recorded, unless there is worse to tell. */
static void trial_skip_delay(const struct trial *trial)
{
	struct decision *decision = trial->decision;

	if (decision->delay_ns && decision->verdict == VERDICT_ALLOW)
		snprintf(decision->reason, sizeof(decision->reason),
			 "mode: audit; %.32s %.32s would have had it wait %llu ms", trial->delayer,
			 trial->delay_rule, (unsigned long long)(decision->delay_ns / 1000000));
	decision->delay_ns = 0;
}

void trial_settle(struct trial *trial)
{
	struct decision *decision = trial->decision;

	switch (trial->weight) {
	case TRIAL_ALLOW:
		decision->verdict = VERDICT_ALLOW;
		break;
	case TRIAL_WOULD_DENY:
		decision->verdict = VERDICT_WOULD_DENY;
		break;
	case TRIAL_FAULT:
		decision->verdict = VERDICT_FAULT;
		break;
	case TRIAL_NOTHING:
	case TRIAL_DENY:
		decision->verdict = VERDICT_DENY;
		break;
	}
	if (trial->audit)
		trial_skip_delay(trial);
	/* A socket's end can't be refused: who tries is told of, and the socket is released. */
	if (call_operations[trial->view->op].always_runs && !decision_permits(decision)) {
		decision->verdict = VERDICT_WOULD_DENY;
		trial_copy_text(decision->reason, "fault: a release can not be denied",
				sizeof(decision->reason));
	}
	if (decision_permits(decision))
		decision->error = 0;
	else
		decision->meter_in = decision->meter_out = 0;
	if (!decision_permits(decision) || call_operations[trial->view->op].always_runs)
		decision->delay_ns = 0;
}
