/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Loading plugins: once, before the sandbox closes, never unloaded. */
#ifndef POLICY_PLUGIN_HOST_PLUGIN_REGISTRY_H
#define POLICY_PLUGIN_HOST_PLUGIN_REGISTRY_H

#include <stddef.h>

#include <pvcalls/plugin.h>

#include "base/fault.h"

#define PLUGINS_MAX 64u

struct hook_mark; /* call/hook_mark.h */
struct plugin_registry;

/*
 * Loads every *.so of directory. The directory and each file must belong to root or the daemon's
 * user and not be writable by others. A file that is no plugin, has another ABI major or a bad
 * descriptor is kept as an entry with its fault, told when a policy names it; it does not fail the
 * others. Returns 0 and *registry, or -errno (directory missing, unsafe, too many plugins) with
 * *fault.
 */
int plugin_registry_load(struct plugin_registry **registry, const char *directory,
			 struct fault *fault);
/* Frees the table; the objects stay loaded until the process ends. */
void plugin_registry_free(struct plugin_registry *registry);

/*
 * Where it is noted which hook of these plugins is running, by every policy that is compiled from
 * now on: borrowed, and to outlive them. NULL: nowhere, as in the beginning.
 */
void plugin_registry_mark_hooks(struct plugin_registry *registry, struct hook_mark *mark);
struct hook_mark *plugin_registry_mark(const struct plugin_registry *registry);

/* The plugin of this name, or NULL with a fault that says why (unknown, wrong ABI, ...). */
const struct pvcalls_plugin *plugin_registry_find(const struct plugin_registry *registry,
						  const char *name, struct fault *fault);

/* Loads one file and describes it in text (for `pvcallsctl plugins --file`). 0 or -errno. */
int plugin_describe(const char *path, char *text, size_t size, struct fault *fault);

#endif
