/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a policy's text to one that serves a guest.
 *
 * Everything that can fail happens first; only then anything is taken over from the policy it
 * replaces. So a compilation that fails leaves that one as it was.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/cases.h"
#include "policy/header.h"
#include "policy/instance.h"
#include "policy/plugin.h"
#include "policy/source.h"

static int out_of_memory(struct policy *policy)
{
	struct position nowhere = {0, 0};

	errors_add(&policy->compiling->errors, nowhere, "out of memory");
	return -ENOMEM;
}

/* Makes the instance of one section of the chain. Returns 0, or -EINVAL after errors were added. */
static int compile_section(struct policy *policy, const struct pvcalls_value *section,
			   const struct plugin_registry *registry, struct instance *instance)
{
	struct errors *errors = &policy->compiling->errors;
	const struct pvcalls_value *name = tree_get(section, "plugin");
	uint32_t before = errors->count;
	struct fault fault = {""};

	if (section->kind != PVCALLS_VALUE_MAP || !name || name->kind != PVCALLS_VALUE_SCALAR)
		return errors_add(errors, section->at,
				  "not a plugin's section; expected a map with \"plugin: name\"");
	instance->plugin = plugin_registry_find(registry, name->text, &fault);
	if (!instance->plugin)
		return errors_add(errors, name->at, "%s", fault.text);
	instance->policy = policy;
	instance->section = section;
	services_init(instance);
	instance->state = instance->plugin->create(&instance->host, section);
	if (!instance->state && errors->count == before)
		errors_add(errors, section->at, "plugin %s refused its section and did not say why",
			   name->text);
	if (instance->state)
		tree_refuse_unknown(section, name->text, NULL, errors);
	names_free(&instance->ids);
	return errors->count == before ? 0 : -EINVAL;
}

static int compile_chain(struct policy *policy, const struct pvcalls_value *chain,
			 const struct plugin_registry *registry)
{
	struct errors *errors = &policy->compiling->errors;
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
		return out_of_memory(policy);
	for (i = 0; i < chain->count; i++)
		if (compile_section(policy, tree_item(chain, i), registry,
				    &policy->instances[policy->count++]))
			result = -EINVAL;
	return result;
}

static void compile_header(struct policy *policy, const struct pvcalls_value *root)
{
	struct header header;

	if (header_read(&header, root, &policy->compiling->errors))
		return;
	policy->audit = header.audit;
	policy->default_allows = header.default_allows;
	memcpy(policy->name, header.name, strlen(header.name) + 1);
}

static int compile_root(struct policy *policy, const struct policy_source *source,
			const struct plugin_registry *registry)
{
	struct compiling *compiling = policy->compiling;
	const struct pvcalls_value *chain;
	const struct pvcalls_value *root;

	root = tree_read(&policy->memory, source->text, source->size, &compiling->errors);
	if (!root)
		return -EINVAL;
	compile_header(policy, root);
	if (groups_read(&compiling->groups, tree_get(root, "groups"), &compiling->errors) ==
	    -ENOMEM)
		return out_of_memory(policy);
	if (floor_read(&policy->floor, tree_get(root, "floor"), &compiling->groups,
		       &compiling->errors) == -ENOMEM)
		return out_of_memory(policy);
	chain = tree_get(root, "chain");
	compile_chain(policy, chain, registry);
	policy->tests = tree_get(root, "tests");
	cases_check(policy->tests, &compiling->errors);
	tree_refuse_unknown(root, "a policy", chain, &compiling->errors);
	return compiling->errors.count ? -EINVAL : 0;
}

/* The n-th instance of a plugin takes over from the n-th one before. */
static struct instance *predecessor(const struct policy *policy, uint32_t index,
				    struct policy *previous)
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

static void take_over(struct policy *policy, struct policy *previous)
{
	struct instance *instance;
	struct instance *before;
	uint32_t i;

	counters_take(&policy->counters, &previous->counters);
	for (i = 0; i < policy->count; i++) {
		instance = &policy->instances[i];
		before = predecessor(policy, i, previous);
		if (!before)
			continue;
		instance->stats = before->stats;
		if (instance->plugin->inherit)
			instance->plugin->inherit(instance->state, before->state);
	}
}

/* From here on nothing fails. */
static void begin_to_serve(struct policy *policy, struct policy *previous)
{
	struct instance *instance;
	uint32_t i;

	meters_commit(&policy->meters, previous ? &previous->meters : NULL);
	if (previous)
		take_over(policy, previous);
	for (i = 0; i < policy->count; i++) {
		instance = &policy->instances[i];
		if (instance->plugin->guest_attach)
			instance->plugin->guest_attach(instance->state, &policy->guest);
		instance->attached = true;
	}
	policy->compiling = NULL;
}

static struct policy *new_policy(struct host_view *host, const struct pvcalls_guest *guest,
				 const struct log *log)
{
	struct policy *policy = calloc(1, sizeof(*policy));

	if (!policy)
		return NULL;
	policy->guest = *guest;
	policy->log = log;
	policy->floor.host = host;
	return policy;
}

int policy_compile_telling(struct policy **policy, const struct policy_source *source,
			   const struct plugin_registry *registry, struct host_view *host,
			   const struct pvcalls_guest *guest, struct policy *previous,
			   const struct log *log, struct errors *errors)
{
	struct compiling compiling = {.errors = *errors, .previous = previous};
	struct policy *made = new_policy(host, guest, log);
	int result;

	*policy = NULL;
	if (!made)
		return -ENOMEM;
	made->compiling = &compiling;
	compiling.errors.path = source->path;
	memcpy(made->digest, source->digest, sizeof(made->digest));
	result = compile_root(made, source, registry);
	if (!result) {
		begin_to_serve(made, previous);
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
	*policy = new_policy(host, guest, log);
	if (!*policy)
		return -ENOMEM;
	(*policy)->denies_all = true;
	memcpy((*policy)->name, "none", sizeof("none"));
	return 0;
}

void policy_free(struct policy *policy)
{
	uint32_t i;

	if (!policy)
		return;
	for (i = policy->count; i-- > 0;)
		instance_end(&policy->instances[i]);
	free(policy->instances);
	floor_free(&policy->floor);
	meters_free(&policy->meters);
	names_free(&policy->counters.names);
	arena_free(&policy->memory);
	free(policy);
}
