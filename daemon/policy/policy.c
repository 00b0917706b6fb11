/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/policy.h"

#include <stdlib.h>

#include "policy/policy_state.h"

const char *policy_name(const struct policy *policy)
{
	return policy->name;
}

const uint8_t *policy_digest(const struct policy *policy)
{
	return policy->digest;
}

struct meter *policy_meter(struct policy *policy, uint32_t handle)
{
	struct meter *meter = meter_table_at(&policy->shared.meters, handle);

	return meter ? meter_ref(meter) : NULL;
}

void policy_keep_allowances(struct policy *policy, struct allowances *allowances)
{
	policy->shared.allowances = allowances;
	meter_table_keep(&policy->shared.meters, allowances);
}

void policy_note_allowances(struct policy *policy)
{
	meter_table_note(&policy->shared.meters);
}

size_t policy_metrics(struct policy *policy, char *text, size_t size)
{
	size_t used = counters_write(&policy->shared.counters, text, size);
	uint32_t i;

	used += meter_table_write(&policy->shared.meters, text + used, size - used);
	for (i = 0; i < policy->count; i++)
		used += instance_write_metrics(&policy->instances[i], text + used, size - used);
	return used;
}

void policy_free(struct policy *policy)
{
	uint32_t i;

	if (!policy)
		return;
	for (i = policy->count; i-- > 0;)
		instance_destroy(&policy->instances[i]);
	free(policy->instances);
	host_rules_free(&policy->rules);
	meter_table_free(&policy->shared.meters);
	counters_free(&policy->shared.counters);
	arena_free(&policy->memory);
	free(policy);
}
