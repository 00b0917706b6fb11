/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The files of all policy directories, in order. */
#ifndef POLICY_YAML_SOURCE_LIST_H
#define POLICY_YAML_SOURCE_LIST_H

#include <stddef.h>

#include "base/fault.h"
#include "policy/yaml/source.h"

#define POLICY_FILES_MAX 1024u /* in all directories together */

/* In C-locale order of the files' names. Zeroed means: empty. */
struct source_list {
	struct policy_source *sources;
	size_t count;
};

/*
 * Reads every *.yaml of directories as policy_source_read_at() does. A later directory's file
 * replaces an earlier one's of the same name. Directories that don't exist are passed over; the
 * others must belong to root or the daemon's user. Returns 0, or -errno with all faults, one per
 * line.
 */
int source_list_read(struct source_list *list, const char *const *directories, size_t count,
		     struct fault *fault);
void source_list_free(struct source_list *list);

#endif
