/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/plugin_host/host_services.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/clock.h"
#include "policy/match/address.h"
#include "policy/match/conditions.h"
#include "policy/match/near_miss.h"
#include "policy/match/set_compile.h"
#include "policy/plugin_host/allowances.h"
#include "policy/plugin_host/instance.h"
#include "policy/plugin_host/plugin_options.h"
#include "policy/yaml/value_tree.h"

#define HOST_ADDRESSES_MAX 1024u /* that a plugin is told of: more would take it too long */

/* Plugins get their instance of the host's own through a constant table: this is its only way. */
static struct instance *host_instance(const struct pvcalls_host *host)
{
	return host->handle;
}

static struct compiling *host_compiling(const struct pvcalls_host *host)
{
	return host_instance(host)->context->compiling;
}

static void host_log(const struct pvcalls_host *host, uint32_t level, const char *text)
{
	const struct instance *instance = host_instance(host);
	enum log_level known = level > LOG_LEVEL_DEBUG ? LOG_LEVEL_DEBUG : (enum log_level)level;

	if (instance->context->log)
		log_write(instance->context->log, known, "%s: %s", instance->plugin->name, text);
}

static uint64_t host_monotonic_ns(const struct pvcalls_host *host)
{
	(void)host;
	return clock_monotonic_ns();
}

static void *host_alloc(const struct pvcalls_host *host, size_t size)
{
	return arena_alloc(&host_instance(host)->memory, size);
}

static int32_t host_error_at(const struct pvcalls_host *host, const struct pvcalls_value *at,
			     const char *text)
{
	struct compiling *compiling = host_compiling(host);

	if (compiling)
		errors_add(&compiling->errors, at ? at->at : host_instance(host)->section->at, "%s",
			   text);
	return -1;
}

static void host_warn_at(const struct pvcalls_host *host, const struct pvcalls_value *at,
			 const char *text)
{
	struct compiling *compiling = host_compiling(host);

	if (compiling)
		errors_warn(&compiling->errors, at ? at->at : host_instance(host)->section->at,
			    "%s", text);
}

static uint32_t host_value_kind(const struct pvcalls_value *value)
{
	return value ? value->kind : 0;
}

static const char *host_value_text(const struct pvcalls_value *value)
{
	return value && value->kind == PVCALLS_VALUE_SCALAR ? value->text : NULL;
}

static uint32_t host_value_count(const struct pvcalls_value *value)
{
	return value ? value->count : 0;
}

static struct pvcalls_set *host_set_create(const struct pvcalls_host *host)
{
	struct instance *instance = host_instance(host);
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

static int32_t host_set_add(const struct pvcalls_host *host, struct pvcalls_set *set, uint32_t ops,
			    const struct pvcalls_value *match)
{
	struct compiling *compiling = host_compiling(host);
	struct set_rule rule = {
		.ops = ops & ((1u << PVCALLS_OP_COUNT) - 1),
		.quiet = (ops & PVCALLS_SET_QUIET) != 0,
	};
	int result;

	if (!compiling)
		return -1;
	result = conditions_read(&compiling->groups, match, &rule, &compiling->errors);
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
	int result;

	/* As set_add(): not while it decides by the set. */
	if (!host_compiling(host))
		return -1;
	result = set_compile(set);
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
	struct instance *instance = host_instance(host);
	struct compiling *compiling = host_compiling(host);

	return meter_table_get(&instance->context->meters,
			       compiling ? compiling->meters_before : NULL, instance->plugin->name,
			       key, bytes_per_s, burst_bytes, !!compiling);
}

static void host_count(const struct pvcalls_host *host, const char *name, uint64_t add)
{
	struct instance *instance = host_instance(host);

	counters_add(&instance->context->counters, instance->plugin->name, name, add);
}

static uint64_t host_recall(const struct pvcalls_host *host, const char *id, uint64_t number)
{
	struct instance *instance = host_instance(host);
	const struct allowances *allowances = instance->context->allowances;

	if (!allowances)
		return 0;
	return allowances_get(allowances,
			      allowances_key(allowances, instance->plugin->name, id, number));
}

static void host_remember(const struct pvcalls_host *host, const char *id, uint64_t number,
			  uint64_t until_ns)
{
	struct instance *instance = host_instance(host);
	struct allowances *allowances = instance->context->allowances;

	if (allowances)
		allowances_put(allowances,
			       allowances_key(allowances, instance->plugin->name, id, number),
			       until_ns, clock_monotonic_ns());
}

static bool host_range_is_loopback(const struct range *range)
{
	return range->first >> 24 == 127 && range->last >> 24 == 127;
}

static int32_t host_address(const struct pvcalls_host *host, uint32_t number,
			    struct pvcalls_endpoint *address)
{
	const struct ranges *ranges = host_instance(host)->context->host_addresses;
	const struct range *range;
	uint32_t left = number;
	size_t i;

	for (i = 0; ranges && number < HOST_ADDRESSES_MAX && i < ranges->count; i++) {
		range = &ranges->list[i];
		if (host_range_is_loopback(range))
			continue;
		if (left <= range->last - range->first) {
			*address = (struct pvcalls_endpoint){.family = ADDRESS_FAMILY_INET};
			address_write(range->first + left, address->addr);
			return 0;
		}
		left -= range->last - range->first + 1;
	}
	return -1;
}

static void host_want_local(const struct pvcalls_host *host)
{
	host_instance(host)->context->wants_local = true;
}

void host_services_fill(struct pvcalls_host *host, struct instance *instance)
{
	*host = (struct pvcalls_host){
		.size = sizeof(struct pvcalls_host),
		.abi_minor = PVCALLS_ABI_MINOR,
		.handle = instance,
		.log = host_log,
		.monotonic_ns = host_monotonic_ns,
		.alloc = host_alloc,
		.error_at = host_error_at,
		.value_kind = host_value_kind,
		.value_text = host_value_text,
		.value_count = host_value_count,
		.value_item = tree_item,
		.value_get = tree_get,
		.set_create = host_set_create,
		.set_add = host_set_add,
		.set_build = host_set_build,
		.set_find = set_find,
		.set_near_miss = set_near_miss,
		.set_nearest = set_nearest,
		.want_local = host_want_local,
		.host_address = host_address,
		.meter = host_meter,
		.count = host_count,
		.recall = host_recall,
		.remember = host_remember,
		.warn_at = host_warn_at,
		.set_hidden = set_hidden,
	};
	plugin_options_fill(host);
}
