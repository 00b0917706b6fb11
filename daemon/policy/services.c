/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of functions that a plugin instance gets from its host. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "policy/instance.h"

/* Plugins get their instance of the host's own through a constant table: this is its only way. */
static struct instance *instance_of(const struct pvcalls_host *host)
{
	return host->handle;
}

static struct compiling *compiling_of(const struct pvcalls_host *host)
{
	return instance_of(host)->policy->compiling;
}

static void host_log(const struct pvcalls_host *host, uint32_t level, const char *text)
{
	const struct instance *instance = instance_of(host);
	enum log_level known = level > LOG_LEVEL_DEBUG ? LOG_LEVEL_DEBUG : (enum log_level)level;

	if (instance->policy->log)
		log_write(instance->policy->log, known, "%s: %s", instance->plugin->name, text);
}

static uint64_t host_monotonic_ns(const struct pvcalls_host *host)
{
	(void)host;
	return clock_monotonic_ns();
}

static void *host_alloc(const struct pvcalls_host *host, size_t size)
{
	return arena_alloc(&instance_of(host)->memory, size);
}

static int32_t host_error_at(const struct pvcalls_host *host, const struct pvcalls_value *at,
			     const char *text)
{
	struct compiling *compiling = compiling_of(host);

	if (compiling)
		errors_add(&compiling->errors, at ? at->at : instance_of(host)->section->at, "%s",
			   text);
	return -1;
}

static uint32_t value_kind(const struct pvcalls_value *value)
{
	return value ? value->kind : 0;
}

static const char *value_text(const struct pvcalls_value *value)
{
	return value && value->kind == PVCALLS_VALUE_SCALAR ? value->text : NULL;
}

static uint32_t value_count(const struct pvcalls_value *value)
{
	return value ? value->count : 0;
}

static struct pvcalls_set *host_set_create(const struct pvcalls_host *host)
{
	struct instance *instance = instance_of(host);
	struct instance_set *node = arena_alloc(&instance->memory, sizeof(*node));

	if (node)
		node->set = set_new();
	if (!node || !node->set) {
		host_error_at(host, NULL, "out of memory");
		return NULL;
	}
	node->next = instance->sets;
	instance->sets = node;
	return node->set;
}

int match_read(const struct groups *groups, const struct pvcalls_value *match,
	       struct set_rule *rule, struct errors *errors)
{
	const struct pvcalls_value *net;
	const struct pvcalls_value *ports;
	int result = 0;
	int problem = 0;

	if (match && match->kind != PVCALLS_VALUE_MAP)
		return errors_add(errors, match->at,
				  "not a map; expected {net: addresses, ports: ports}");
	net = tree_get(match, "net");
	ports = tree_get(match, "ports");
	rule->match = match;
	rule->any_net = !net;
	rule->any_port = !ports;
	if (match && !net && !ports)
		return errors_add(errors, match->at, "empty; expected net, ports or both");
	if (net)
		result = nets_read(groups, net, &rule->nets, errors);
	if (ports)
		problem = ports_read(ports, &rule->ports, errors);
	return result ? result : problem;
}

static int32_t host_set_add(const struct pvcalls_host *host, struct pvcalls_set *set, uint32_t ops,
			    const struct pvcalls_value *match)
{
	struct compiling *compiling = compiling_of(host);
	struct set_rule rule = {
		.ops = ops & ((1u << PVCALLS_OP_COUNT) - 1),
		.quiet = (ops & PVCALLS_SET_QUIET) != 0,
	};
	int result;

	if (!compiling)
		return -1;
	result = match_read(&compiling->groups, match, &rule, &compiling->errors);
	if (result == -ENOMEM)
		host_error_at(host, match, "out of memory");
	if (!result) {
		result = set_append(set, &rule);
		if (result)
			host_error_at(host, match,
				      result == -E2BIG ? "too many addresses in all rules; "
							 "expected at most 4194304"
						       : "out of memory");
	}
	if (result) {
		ranges_free(&rule.nets);
		ranges_free(&rule.ports);
	}
	return result ? -1 : 0;
}

static int32_t host_set_build(const struct pvcalls_host *host, struct pvcalls_set *set)
{
	int result = set_compile(set);

	if (result)
		host_error_at(host, NULL,
			      result == -E2BIG ? "rules overlap too much to be compiled; expected "
						 "fewer rules or fewer port lists"
					       : "out of memory");
	return result ? -1 : 0;
}

static uint32_t host_meter(const struct pvcalls_host *host, const char *key, uint64_t bytes_per_s,
			   uint64_t burst_bytes)
{
	struct instance *instance = instance_of(host);
	struct compiling *compiling = compiling_of(host);
	struct policy *previous = compiling ? compiling->previous : NULL;

	return meters_get(&instance->policy->meters, previous ? &previous->meters : NULL,
			  instance->plugin->name, key, bytes_per_s, burst_bytes, compiling != NULL);
}

static void host_count(const struct pvcalls_host *host, const char *name, uint64_t add)
{
	struct instance *instance = instance_of(host);

	counters_add(&instance->policy->counters, instance->plugin->name, name, add);
}

void services_init(struct instance *instance)
{
	instance->host = (struct pvcalls_host){
		.size = sizeof(struct pvcalls_host),
		.abi_minor = PVCALLS_ABI_MINOR,
		.handle = instance,
		.log = host_log,
		.monotonic_ns = host_monotonic_ns,
		.alloc = host_alloc,
		.error_at = host_error_at,
		.value_kind = value_kind,
		.value_text = value_text,
		.value_count = value_count,
		.value_item = tree_item,
		.value_get = tree_get,
		.set_create = host_set_create,
		.set_add = host_set_add,
		.set_build = host_set_build,
		.set_find = set_find,
		.set_near_miss = set_near_miss,
		.meter = host_meter,
		.count = host_count,
	};
	options_init(&instance->host);
}

void instance_end(struct instance *instance)
{
	struct instance_set *node;

	if (instance->state && instance->attached && instance->plugin->guest_detach)
		instance->plugin->guest_detach(instance->state, &instance->policy->guest);
	if (instance->state && instance->plugin->destroy)
		instance->plugin->destroy(instance->state);
	for (node = instance->sets; node; node = node->next)
		set_free(node->set);
	names_free(&instance->ids);
	arena_free(&instance->memory);
}
