/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/plugin_host/instance.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/decimal.h"
#include "call/hook_mark.h"
#include "policy/match/set.h"
#include "policy/plugin_host/host_services.h"
#include "policy/yaml/value_tree.h"

#define INSTANCE_METRICS_MAX 4096u /* bytes that one instance may say */

int instance_create(struct instance *instance, struct instance_context *context,
		    const struct pvcalls_plugin *plugin, const struct pvcalls_value *section)
{
	struct errors *errors;
	uint32_t before;

	ASSERT(context->compiling && !instance->plugin);
	errors = &context->compiling->errors;
	before = errors->count;
	instance->plugin = plugin;
	instance->context = context;
	instance->section = section;
	host_services_fill(&instance->host, instance);
	hook_mark_begin(instance->context->mark, HOOK_KIND_CREATE, plugin->name);
	instance->state = plugin->create(&instance->host, section);
	hook_mark_end(instance->context->mark);
	if (!instance->state && errors->count == before)
		errors_add(errors, section->at, "plugin %s refused its section and did not say why",
			   plugin->name);
	if (instance->state)
		tree_refuse_unknown(section, plugin->name, NULL, errors);
	name_table_free(&instance->ids);
	return errors->count == before ? 0 : -EINVAL;
}

static void instance_inherit(struct instance *instance, const struct instance *before)
{
	const struct pvcalls_plugin *plugin = instance->plugin;

	ASSERT(before->plugin == plugin);
	instance->stats = before->stats;
	if (!plugin->inherit)
		return;
	hook_mark_begin(instance->context->mark, HOOK_KIND_INHERIT, plugin->name);
	plugin->inherit(instance->state, before->state);
	hook_mark_end(instance->context->mark);
}

void instance_attach(struct instance *instance, const struct instance *before)
{
	const struct pvcalls_plugin *plugin = instance->plugin;

	ASSERT(instance->state && !instance->attached);
	if (before)
		instance_inherit(instance, before);
	if (plugin->guest_attach) {
		hook_mark_begin(instance->context->mark, HOOK_KIND_GUEST_ATTACH, plugin->name);
		plugin->guest_attach(instance->state, &instance->context->guest);
		hook_mark_end(instance->context->mark);
	}
	instance->attached = true;
}

/* The plugin's part of the end. */
static void instance_end(struct instance *instance)
{
	const struct pvcalls_plugin *plugin = instance->plugin;

	if (instance->attached && plugin->guest_detach) {
		hook_mark_begin(instance->context->mark, HOOK_KIND_GUEST_DETACH, plugin->name);
		plugin->guest_detach(instance->state, &instance->context->guest);
		hook_mark_end(instance->context->mark);
	}
	if (instance->state && plugin->destroy) {
		hook_mark_begin(instance->context->mark, HOOK_KIND_DESTROY, plugin->name);
		plugin->destroy(instance->state);
		hook_mark_end(instance->context->mark);
	}
}

void instance_destroy(struct instance *instance)
{
	struct instance_set *node;

	instance_end(instance);
	for (node = instance->sets; node; node = node->next)
		set_free(node->set);
	name_table_free(&instance->ids);
	arena_free(&instance->memory);
}

/* One line that a plugin has written, "name value", behind the plugin's name. */
static size_t instance_write_metric(const struct instance *instance, const char *line,
				    size_t length, char *text, size_t size)
{
	size_t name = strcspn(line, " \n");
	const char *end;
	uint64_t value;
	int wrote;

	if (name >= length || !metric_name_is_valid(line, name) ||
	    decimal_read_head(line + name + 1, &end, UINT64_MAX, &value) || end != line + length)
		return 0;
	wrote = snprintf(text, size, "%s.%.*s %" PRIu64 "\n", instance->plugin->name, (int)name,
			 line, value);
	return wrote < 0 || (size_t)wrote >= size ? 0 : (size_t)wrote;
}

/* What the plugin itself counts. What is no metric is left out. */
static size_t instance_write_own_metrics(const struct instance *instance, char *text, size_t size)
{
	char said[INSTANCE_METRICS_MAX];
	const char *line = said;
	size_t used = 0;
	size_t length;
	size_t count;

	hook_mark_begin(instance->context->mark, HOOK_KIND_METRICS, instance->plugin->name);
	count = instance->plugin->metrics(instance->state, said, sizeof(said) - 1);
	hook_mark_end(instance->context->mark);
	if (count >= sizeof(said))
		return 0;
	said[count] = '\0';
	for (; *line; line += length + (line[length] == '\n')) {
		length = strcspn(line, "\n");
		used += instance_write_metric(instance, line, length, text + used, size - used);
	}
	return used;
}

size_t instance_write_metrics(const struct instance *instance, char *text, size_t size)
{
	int length = snprintf(text, size, "%s.slow_hooks %" PRIu64 "\n%s.faults %" PRIu64 "\n",
			      instance->plugin->name, instance->stats.slow, instance->plugin->name,
			      instance->stats.faults);
	size_t used;

	if (length < 0 || (size_t)length >= size)
		return 0;
	used = (size_t)length;
	if (!instance->plugin->metrics)
		return used;
	return used + instance_write_own_metrics(instance, text + used, size - used);
}
