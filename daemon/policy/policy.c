/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is asked of a policy that serves, beside deciding. */
#include "policy/policy.h"

#include <inttypes.h>
#include <stdio.h>

#include "policy/instance.h"

const char *policy_name(const struct policy *policy)
{
	return policy->name;
}

const uint8_t *policy_digest(const struct policy *policy)
{
	return policy->digest;
}

void policy_observe(struct policy *policy, const struct pvcalls_call *view,
		    const struct decision *decision, int32_t result)
{
	struct pvcalls_outcome outcome = {
		.size = sizeof(outcome),
		.verdict = decision_permits(decision) ? PVCALLS_ALLOW : PVCALLS_DENY,
		.result = result,
		.rewritten = decision->rewritten,
		.decider = decision->decider,
		.rule = decision->rule,
		.reason = decision->reason,
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
			hooks_begin(&policy->watch);
		begun = true;
		instance->plugin->observe(instance->state, view, &outcome);
		if (hooks_end(&policy->watch, &took_ns) != HOOK_FINE)
			instance->stats.slow++;
	}
}

void policy_slept(struct policy *policy)
{
	hooks_slept(&policy->watch);
}

struct meter *policy_meter(struct policy *policy, uint32_t handle)
{
	struct meter *meter = meters_at(&policy->meters, handle);

	return meter ? meter_ref(meter) : NULL;
}

static size_t write_instance(const struct instance *instance, char *text, size_t size)
{
	int length = snprintf(text, size, "%s.slow_hooks %" PRIu64 "\n%s.faults %" PRIu64 "\n",
			      instance->plugin->name, instance->stats.slow, instance->plugin->name,
			      instance->stats.faults);
	size_t used;
	size_t more;

	if (length < 0 || (size_t)length >= size)
		return 0;
	used = (size_t)length;
	if (!instance->plugin->metrics)
		return used;
	more = instance->plugin->metrics(instance->state, text + used, size - used);
	return more <= size - used ? used + more : used;
}

size_t policy_metrics(struct policy *policy, char *text, size_t size)
{
	size_t used = counters_write(&policy->counters, text, size);
	uint32_t i;

	for (i = 0; i < policy->count; i++)
		used += write_instance(&policy->instances[i], text + used, size - used);
	return used;
}
