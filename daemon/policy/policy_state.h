/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a compiled policy consists of: for the files of this folder that make, ask and free it. */
#ifndef POLICY_POLICY_STATE_H
#define POLICY_POLICY_STATE_H

#include "policy/host_rules.h"
#include "policy/plugin_host/hook_time.h"
#include "policy/plugin_host/instance.h"
#include "policy/policy.h"

#define CHAIN_MAX 32u /* plugins of one policy */

struct policy {
	char name[PVCALLS_NAME_MAX];
	uint8_t digest[POLICY_DIGEST_BYTES];
	bool audit;          /* mode: audit */
	bool default_allows; /* default: allow */
	bool denies_all;     /* the policy of a guest that none matches */
	struct host_rules rules;
	struct instance *instances; /* the chain, in order */
	uint32_t count;
	struct instance_context shared;
	struct hook_watch watch;
	const struct pvcalls_value *tests; /* as written, or NULL */
	struct arena memory;               /* of the tree */
};

#endif
