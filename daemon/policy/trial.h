/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One call on its way through the chain: what was said of it so far.
 *
 * Theory of operation. Whoever speaks with the most weight so far stands in the decision: an allow
 * yields to a deny that is only tried out, and that to a real one, which ends the chain. With
 * `mode: audit` a deny is only tried out whoever says it, so the chain goes on, rewrites included,
 * as it would if the call were allowed; a delay is recorded and not waited for, and meters only
 * count. A plugin's fault always denies.
 */
#ifndef POLICY_TRIAL_H
#define POLICY_TRIAL_H

#include <stdbool.h>

#include "call/call.h"
#include "policy/plugin_host/hook_time.h"
#include "policy/plugin_host/instance.h"

/* What stands in the decision so far, by weight. */
enum trial_weight {
	TRIAL_NOTHING,
	TRIAL_ALLOW,
	TRIAL_WOULD_DENY,
	TRIAL_DENY,
	TRIAL_FAULT,
};

/* Zeroed, but for the first four, at the beginning. */
struct trial {
	struct pvcalls_call *view; /* its effective endpoint is what rewrites change */
	struct decision *decision; /* zeroed at the beginning */
	struct hook_watch *watch;
	bool audit; /* mode: audit of the policy */
	enum trial_weight weight;
	bool allowed;                      /* somebody said so, whatever stands in the decision */
	char tried[PVCALLS_RULE_MAX];      /* a rule with mode: audit that would allow */
	char delayer[PVCALLS_NAME_MAX];    /* the plugin that asked for the longest delay, ... */
	char delay_rule[PVCALLS_RULE_MAX]; /* ... and its rule */
};

/*
 * Writes into the decision who says what, unless something of the same weight or more stands there;
 * error is a negative errno, or 0. Returns whether it did.
 */
bool trial_say(struct trial *trial, enum trial_weight weight, int error, const char *decider,
	       const char *rule, const char *reason);

/* Takes the answer of a plugin's decide() or check(); one that makes no sense is a fault. */
void trial_take_verdict(struct trial *trial, struct instance *instance,
			struct pvcalls_verdict *verdict);
/* The plugin has failed: the call is denied. */
void trial_take_fault(struct trial *trial, struct instance *instance, const char *rule,
		      const char *reason);
/* Ends the measurement of a hook; a fault of time is a fault, and so is being late twice. */
void trial_take_time(struct trial *trial, struct instance *instance);

/* From what stands in the decision to a verdict: the decision is then complete. */
void trial_settle(struct trial *trial);

#endif
