/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/compile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "policy/plugin_host/plugin_registry.h"
#include "policy/policy_header.h"
#include "policy/policy_state.h"
#include "policy/policy_tests.h"
#include "policy/yaml/source.h"

static int compile_out_of_memory(struct policy *policy)
{
	errors_add(&policy->shared.compiling->errors, POSITION_NONE, "out of memory");
	return -ENOMEM;
}

/* Makes the instance of one section of the chain. Returns 0, or -EINVAL after errors were added. */
static int compile_section(struct policy *policy, const struct pvcalls_value *section,
			   const struct plugin_registry *registry, struct instance *instance)
{
	struct errors *errors = &policy->shared.compiling->errors;
	const struct pvcalls_value *name = tree_get(section, "plugin");
	const struct pvcalls_plugin *plugin;
	struct fault fault = {""};

	if (section->kind != PVCALLS_VALUE_MAP || !name || name->kind != PVCALLS_VALUE_SCALAR)
		return errors_add(errors, section->at,
				  "not a plugin's section; expected a map with \"plugin: name\"");
	plugin = plugin_registry_find(registry, name->text, &fault);
	if (!plugin)
		return errors_add(errors, name->at, "%s", fault.text);
	return instance_create(instance, &policy->shared, plugin, section);
}

static int compile_chain(struct policy *policy, const struct pvcalls_value *chain,
			 const struct plugin_registry *registry)
{
	struct errors *errors = &policy->shared.compiling->errors;
	int result = 0;
	uint32_t i;

	if (!chain)
		return 0;
	if (chain->kind != PVCALLS_VALUE_LIST)
		return errors_add(errors, chain->at,
				  "not a list; expected the plugins' sections in order");
	if (chain->count > CHAIN_MAX)
		return errors_add(errors, chain->at, "%u plugins in the chain; expected at most %u",
				  chain->count, CHAIN_MAX);
	policy->instances = calloc(chain->count + 1, sizeof(*policy->instances));
	if (!policy->instances)
		return compile_out_of_memory(policy);
	for (i = 0; i < chain->count; i++)
		if (compile_section(policy, tree_item(chain, i), registry,
				    &policy->instances[policy->count++]))
			result = -EINVAL;
	return result;
}

static void compile_header(struct policy *policy, const struct pvcalls_value *root)
{
	struct policy_header header;

	if (policy_header_read(&header, root, &policy->shared.compiling->errors))
		return;
	policy->audit = policy->shared.meters.counts_only = header.audit;
	policy->default_allows = header.default_allows;
	memcpy(policy->name, header.name, strlen(header.name) + 1);
}

static int compile_root(struct policy *policy, const struct policy_source *source,
			const struct plugin_registry *registry)
{
	struct compiling *compiling = policy->shared.compiling;
	const struct pvcalls_value *chain;
	const struct pvcalls_value *root;

	root = tree_read(&policy->memory, source->text, source->size, &compiling->errors);
	if (!root)
		return -EINVAL;
	compile_header(policy, root);
	if (groups_read(&compiling->groups, tree_get(root, "groups"), &compiling->errors) ==
	    -ENOMEM)
		return compile_out_of_memory(policy);
	if (host_rules_read(&policy->rules, tree_get(root, "floor"), &compiling->groups,
			    &compiling->errors) == -ENOMEM)
		return compile_out_of_memory(policy);
	chain = tree_get(root, "chain");
	compile_chain(policy, chain, registry);
	policy->tests = tree_get(root, "tests");
	policy_tests_check(policy->tests, &compiling->errors);
	tree_refuse_unknown(root, "a policy", chain, &compiling->errors);
	return compiling->errors.count ? -EINVAL : 0;
}

/* The n-th instance of a plugin takes over from the n-th one before. */
static const struct instance *compile_find_predecessor(const struct policy *policy, uint32_t index,
						       const struct policy *previous)
{
	const struct pvcalls_plugin *plugin = policy->instances[index].plugin;
	uint32_t nth = 0;
	uint32_t i;

	for (i = 0; i < index; i++)
		nth += policy->instances[i].plugin == plugin;
	for (i = 0; i < previous->count; i++)
		if (previous->instances[i].plugin == plugin && nth-- == 0)
			return &previous->instances[i];
	return NULL;
}

/* From here on nothing fails. */
static void compile_finish(struct policy *policy, struct policy *previous)
{
	uint32_t i;

	meter_table_commit(&policy->shared.meters, previous ? &previous->shared.meters : NULL);
	if (previous)
		counters_inherit(&policy->shared.counters, &previous->shared.counters);
	for (i = 0; i < policy->count; i++)
		instance_attach(&policy->instances[i],
				previous ? compile_find_predecessor(policy, i, previous) : NULL);
	ASSERT(policy->shared.compiling && policy->count <= CHAIN_MAX);
	policy->shared.compiling = NULL;
}

static struct policy *compile_begin(struct host_view *host, const struct pvcalls_guest *guest,
				    const struct log *log)
{
	struct policy *policy = calloc(1, sizeof(*policy));

	if (!policy)
		return NULL;
	policy->shared.guest = *guest;
	policy->shared.log = log;
	policy->rules.host = host;
	policy->shared.host_addresses = host ? host_view_addresses(host) : NULL;
	hook_watch_init(&policy->watch);
	return policy;
}

int policy_compile_telling(struct policy **policy, const struct policy_source *source,
			   const struct plugin_registry *registry, struct host_view *host,
			   const struct pvcalls_guest *guest, struct policy *previous,
			   const struct log *log, struct errors *errors)
{
	struct compiling compiling = {.errors = *errors,
				      .meters_before = previous ? &previous->shared.meters : NULL};
	struct policy *made = compile_begin(host, guest, log);
	int result;

	*policy = NULL;
	if (!made)
		return -ENOMEM;
	ASSERT(!previous || !previous->shared.compiling);
	made->shared.compiling = &compiling;
	made->shared.mark = plugin_registry_mark(registry);
	compiling.errors.path = source->path;
	memcpy(made->digest, source->digest, sizeof(made->digest));
	result = compile_root(made, source, registry);
	if (!result) {
		compile_finish(made, previous);
		*policy = made;
	} else {
		policy_free(made);
	}
	groups_free(&compiling.groups);
	*errors = compiling.errors;
	return result;
}

int policy_compile(struct policy **policy, const struct policy_source *source,
		   const struct plugin_registry *registry, struct host_view *host,
		   const struct pvcalls_guest *guest, struct policy *previous,
		   const struct log *log, struct fault *fault)
{
	struct errors errors = {0};
	int result = policy_compile_telling(policy, source, registry, host, guest, previous, log,
					    &errors);

	if (fault)
		fault->text[0] = '\0';
	if (result && !errors.count)
		fault_set(fault, -result, "%s: out of memory", source->path);
	errors_tell(&errors, fault);
	errors_free(&errors);
	return result;
}

int policy_deny_all(struct policy **policy, struct host_view *host,
		    const struct pvcalls_guest *guest, const struct log *log)
{
	*policy = compile_begin(host, guest, log);
	if (!*policy)
		return -ENOMEM;
	(*policy)->denies_all = true;
	memcpy((*policy)->name, "none", sizeof("none"));
	return 0;
}
