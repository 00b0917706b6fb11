/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/plugin_host/instance.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/decimal.h"
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
	instance->state = plugin->create(&instance->host, section);
	if (!instance->state && errors->count == before)
		errors_add(errors, section->at, "plugin %s refused its section and did not say why",
			   plugin->name);
	if (instance->state)
		tree_refuse_unknown(section, plugin->name, NULL, errors);
	name_table_free(&instance->ids);
	return errors->count == before ? 0 : -EINVAL;
}

void instance_attach(struct instance *instance, const struct instance *before)
{
	ASSERT(instance->state && !instance->attached);
	if (before) {
		ASSERT(before->plugin == instance->plugin);
		instance->stats = before->stats;
		if (instance->plugin->inherit)
			instance->plugin->inherit(instance->state, before->state);
	}
	if (instance->plugin->guest_attach)
		instance->plugin->guest_attach(instance->state, &instance->context->guest);
	instance->attached = true;
}

void instance_destroy(struct instance *instance)
{
	struct instance_set *node;

	if (instance->attached && instance->plugin->guest_detach)
		instance->plugin->guest_detach(instance->state, &instance->context->guest);
	if (instance->state && instance->plugin->destroy)
		instance->plugin->destroy(instance->state);
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
	size_t count = instance->plugin->metrics(instance->state, said, sizeof(said) - 1);
	const char *line = said;
	size_t used = 0;
	size_t length;

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
