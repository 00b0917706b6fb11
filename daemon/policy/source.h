/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Policy files: reading them safely, in order, and finding the one for a guest. */
#ifndef POLICY_SOURCE_H
#define POLICY_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include <pvcalls/plugin.h>

#include "base/fault.h"

#define POLICY_FILE_MAX  (1u << 20) /* bytes */
#define POLICY_FILES_MAX 1024u      /* in all directories together */
#define POLICY_DEPTH_MAX 16u        /* nesting of YAML nodes */

/* One file as read. */
struct policy_source {
	char *path; /* as shown in errors */
	char *text;
	size_t size;
	uint8_t digest[32]; /* SHA-256 of the text */
};

/* All files of the policy directories, in C-locale order of their names. */
struct policy_set {
	struct policy_source *sources;
	size_t count;
};

/*
 * Directories that don't exist are passed over; the others must belong to root or the daemon's
 * user. Reads every *.yaml of directories (a later directory's file replaces an earlier one's of
 * the same name). Each file must be regular, not a symbolic link, owned by root or by the daemon's
 * user, not writable by others, at most POLICY_FILE_MAX. Returns 0, or -errno with all faults, one
 * per line.
 */
int policy_set_read(struct policy_set *set, const char *const *directories, size_t count,
		    struct fault *fault);
void policy_set_free(struct policy_set *set);

/*
 * The first source whose `match` fits the guest, or NULL. Sources must have been checked.
 */
const struct policy_source *policy_set_match(const struct policy_set *set,
					     const struct pvcalls_guest *guest);

struct errors; /* policy/errors.h */
/*
 * Reads one file with the same care. directory is where path's last part is, or AT_FDCWD: then path
 * is taken as it is. Returns 0, or -errno with errors added and *source empty.
 */
int policy_source_read_at(struct policy_source *source, int directory, const char *path,
			  struct errors *errors);
void policy_source_free(struct policy_source *source);

/* The policy's `name`, into name[PVCALLS_NAME_MAX]; 0 or -errno. */
int policy_source_name(const struct policy_source *source, char name[PVCALLS_NAME_MAX]);

struct plugin_registry;
/* Compiles one source for a made-up guest, adding all its errors. Returns 0 or -errno. */
int policy_source_check(const struct policy_source *source, const struct plugin_registry *registry,
			struct errors *errors);
/*
 * Compiles every source once for a made-up guest, and throws the result away. Returns 0 or -EINVAL
 * with every error of every file in *fault, one per line. Runs plugins' create(): call it in a
 * child.
 */
int policy_set_check(const struct policy_set *set, const struct plugin_registry *registry,
		     struct fault *fault);

#endif
