/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One use of a plugin in a policy's chain, and the compiled policy it belongs to. */
#ifndef POLICY_INSTANCE_H
#define POLICY_INSTANCE_H

#include <pvcalls/plugin.h>

#include "policy/arena.h"
#include "policy/errors.h"
#include "policy/floor.h"
#include "policy/groups.h"
#include "policy/hooks.h"
#include "policy/meters.h"
#include "policy/names.h"
#include "policy/policy.h"
#include "policy/set.h"
#include "policy/tree.h"

#define CHAIN_MAX 32u /* plugins of one policy */

/* A set that an instance made; freed with it. */
struct instance_set {
	struct instance_set *next;
	struct pvcalls_set *set;
};

/* Calls of hooks that did not go well, for metrics. */
struct instance_stats {
	uint64_t slow;
	uint64_t faults;
};

struct instance {
	struct pvcalls_host host; /* its handle points here */
	const struct pvcalls_plugin *plugin;
	struct policy *policy;
	const struct pvcalls_value *section; /* of the policy file */
	void *state;                         /* what create() returned */
	struct arena memory;
	struct instance_set *sets;
	struct names ids; /* of rules, while create() runs */
	bool attached;
	bool late; /* its last hook was HOOK_LATE */
	struct instance_stats stats;
};

/* What is only there while a policy is compiled. */
struct compiling {
	struct errors errors;
	struct groups groups;
	struct policy *previous;
};

struct policy {
	char name[PVCALLS_NAME_MAX];
	uint8_t digest[POLICY_DIGEST_BYTES];
	bool audit;          /* mode: audit */
	bool default_allows; /* default: allow */
	bool denies_all;     /* the policy of a guest that none matches */
	struct pvcalls_guest guest;
	const struct log *log;
	struct compiling *compiling; /* NULL once it serves */
	struct floor floor;
	struct instance *instances;
	uint32_t count;
	struct arena memory; /* of the tree */
	struct meters meters;
	struct counters counters;
	struct hook_watch watch;
	const struct pvcalls_value *tests; /* as written, or NULL */
};

/* Fills the table of host services of an instance whose plugin and policy are set. */
void services_init(struct instance *instance);
/* The typed readers among them. */
void options_init(struct pvcalls_host *host);

/* Reads a map with net and ports into a rule; NULL matches all. 0, -EINVAL (told), or -ENOMEM. */
int match_read(const struct groups *groups, const struct pvcalls_value *match,
	       struct set_rule *rule, struct errors *errors);
/* Reads one operation or a list of them. Returns 0, or -EINVAL after errors were added. */
int ops_read(const struct pvcalls_value *value, uint32_t allowed, uint32_t *mask,
	     struct errors *errors);

/* Destroys the plugin's instance and all that the host made for it. */
void instance_end(struct instance *instance);

#endif
