/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is asked of policy files before one of them serves a guest. */
#ifndef POLICY_SOURCE_CHECK_H
#define POLICY_SOURCE_CHECK_H

#include <pvcalls/plugin.h>

#include "base/fault.h"
#include "policy/yaml/source_list.h"

struct errors;          /* policy/yaml/errors.h */
struct plugin_registry; /* policy/plugin_host/plugin_registry.h */

/* The policy's `name`, into name[PVCALLS_NAME_MAX]; 0 or -errno. */
int policy_source_name(const struct policy_source *source, char name[PVCALLS_NAME_MAX]);
/* Compiles one source for a made-up guest, adding all its errors. Returns 0 or -errno. */
int policy_source_check(const struct policy_source *source, const struct plugin_registry *registry,
			struct errors *errors);

/*
 * The first source whose `match` fits the guest, or NULL. Sources must have been checked.
 */
const struct policy_source *source_list_match(const struct source_list *list,
					      const struct pvcalls_guest *guest);
/*
 * Compiles every source once for a made-up guest, and throws the result away. Returns 0 or -EINVAL
 * with every error of every file in *fault, one per line. Runs plugins' create(): call it in a
 * child.
 */
int source_list_check(const struct source_list *list, const struct plugin_registry *registry,
		      struct fault *fault);

#endif
