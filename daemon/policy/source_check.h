/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is asked of policy files before one of them serves a guest. */
#ifndef POLICY_SOURCE_CHECK_H
#define POLICY_SOURCE_CHECK_H

#include <pvcalls/plugin.h>

#include "base/fault.h"
#include "policy/yaml/source_list.h"

struct errors;          /* policy/yaml/errors.h */
struct host_view;       /* policy/host_view/host_view.h */
struct plugin_registry; /* policy/plugin_host/plugin_registry.h */

/* The policy's `name`, into name[PVCALLS_NAME_MAX]; 0 or -errno. */
int policy_source_name(const struct policy_source *source, char name[PVCALLS_NAME_MAX]);
/*
 * Compiles one source for a made-up guest and runs its tests as if that were a guest of this host,
 * adding all errors. Returns 0 or -errno.
 */
int policy_source_check(const struct policy_source *source, const struct plugin_registry *registry,
			struct host_view *host, struct errors *errors);

/*
 * The first source whose `match` fits the guest, or NULL. Sources must have been checked.
 */
const struct policy_source *source_list_match(const struct source_list *list,
					      const struct pvcalls_guest *guest);
/*
 * Checks every source as above, and throws the result away. Returns 0 or -EINVAL with every error
 * of every file in *fault, one per line; behind them, or alone with 0, what is valid and can't have
 * been meant (errors_warn()), of the list as a whole, too. Runs plugins' code: call it in a child.
 */
int source_list_check(const struct source_list *list, const struct plugin_registry *registry,
		      struct host_view *host, struct fault *fault);

#endif
