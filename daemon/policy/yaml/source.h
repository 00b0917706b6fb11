/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One policy file, read safely. */
#ifndef POLICY_YAML_SOURCE_H
#define POLICY_YAML_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#define POLICY_FILE_MAX (1u << 20) /* bytes */

struct errors; /* policy/yaml/errors.h */
struct stat;

/* One file as read. */
struct policy_source {
	char *path; /* as shown in errors */
	char *text; /* size bytes and a NUL */
	size_t size;
	uint8_t digest[32]; /* SHA-256 of the text */
};

/*
 * Reads one file, which must be regular, not a symbolic link, owned by root or by the daemon's
 * user, not writable by others, at most POLICY_FILE_MAX. directory is where path's last part is, or
 * AT_FDCWD: then path is taken as it is. Returns 0, or -errno with errors added and *source empty.
 */
int policy_source_read_at(struct policy_source *source, int directory, const char *path,
			  struct errors *errors);
void policy_source_free(struct policy_source *source);

/*
 * Who may have written a policy file or its directory: root or the daemon's user, and nobody else.
 * Returns 0, or -EINVAL after an error was added.
 */
int policy_source_check_owner(const struct stat *status, struct errors *errors);

/* The last part of a path: a pointer into it. */
const char *policy_source_file_name(const char *path);

#endif
