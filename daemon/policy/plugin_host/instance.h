/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One use of a plugin in a policy's chain. */
#ifndef POLICY_PLUGIN_HOST_INSTANCE_H
#define POLICY_PLUGIN_HOST_INSTANCE_H

#include <stdbool.h>

#include <pvcalls/plugin.h>

#include "base/log.h"
#include "policy/match/groups.h"
#include "policy/plugin_host/counters.h"
#include "policy/plugin_host/meter_table.h"
#include "policy/plugin_host/name_table.h"
#include "policy/yaml/arena.h"
#include "policy/yaml/errors.h"

struct allowances; /* policy/plugin_host/allowances.h */
struct hook_mark;  /* call/hook_mark.h */

/* What is only there while a policy is compiled. */
struct compiling {
	struct errors errors;
	struct groups groups;
	const struct meter_table *meters_before; /* of the policy it will replace, or NULL */
};

/* What all instances of a policy share. */
struct instance_context {
	struct pvcalls_guest guest;
	const struct log *log;         /* may be NULL */
	struct compiling *compiling;   /* NULL once the policy serves */
	struct allowances *allowances; /* borrowed; NULL: nothing outlives the policy */
	struct hook_mark *mark;        /* of the hook that runs; borrowed, may be NULL */
	struct meter_table meters;
	struct counters counters;
	const struct ranges *host_addresses; /* borrowed, host order; NULL: none is known */
	bool wants_local; /* some instance looks at the address that accept's peers came to */
};

/* Calls of hooks that did not go well, for metrics. */
struct instance_stats {
	uint64_t slow;
	uint64_t faults;
};

/* A set that an instance made: it lives as long as the instance. */
struct instance_set {
	struct instance_set *next;
	struct pvcalls_set *set;
};

/* Zeroed means: not created, so that instance_destroy() does nothing. */
struct instance {
	struct pvcalls_host host; /* its handle points here */
	const struct pvcalls_plugin *plugin;
	struct instance_context *context;
	const struct pvcalls_value *section; /* of the policy file */
	void *state;                         /* what create() returned */
	struct arena memory;
	struct instance_set *sets;
	struct name_table ids; /* of rules, while create() runs */
	bool attached;
	bool late; /* its last hook was HOOK_LATE */
	struct instance_stats stats;
};

/*
 * Lets the plugin make an instance from its section, while the context compiles. Returns 0, or
 * -EINVAL after errors were added; the instance has to be destroyed in any case.
 */
int instance_create(struct instance *instance, struct instance_context *context,
		    const struct pvcalls_plugin *plugin, const struct pvcalls_value *section);
/* The policy begins to serve: takes over from before (NULL: nobody), and tells of the guest. */
void instance_attach(struct instance *instance, const struct instance *before);
/* Destroys the plugin's instance and all that the host made for it. */
void instance_destroy(struct instance *instance);

/* Writes "name value\n" lines into text; returns bytes written, at most size. */
size_t instance_write_metrics(const struct instance *instance, char *text, size_t size);

#endif
