/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/yaml/source.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "policy/yaml/errors.h"

const char *policy_source_file_name(const char *path)
{
	/* The analyser forgets that all of a list's sources have a path. */
	const char *slash = strrchr(path, '/'); /* NOLINT(clang-analyzer-core.*) */

	return slash ? slash + 1 : path;
}

int policy_source_check_owner(const struct stat *status, struct errors *errors)
{
	if (status->st_uid != 0 && status->st_uid != geteuid())
		return errors_add(errors, POSITION_NONE, "owned by user %u; expected root",
				  status->st_uid);
	if (status->st_mode & (S_IWGRP | S_IWOTH))
		return errors_add(errors, POSITION_NONE,
				  "writable by group or others (mode %04o); expected chmod go-w",
				  status->st_mode & 07777);
	return 0;
}

static int source_check_status(const struct stat *status, struct errors *errors)
{
	if (!S_ISREG(status->st_mode))
		return errors_add(errors, POSITION_NONE, "not a regular file; expected a policy");
	if (policy_source_check_owner(status, errors))
		return -EINVAL;
	if (status->st_size > POLICY_FILE_MAX)
		return errors_add(errors, POSITION_NONE,
				  "larger than %u bytes; expected a smaller file", POLICY_FILE_MAX);
	return 0;
}

/* Reads up to size bytes; one more than expected tells a file that grew. Bytes or -errno. */
static ssize_t source_read_all(int fd, char *text, size_t size)
{
	size_t used = 0;
	ssize_t got = 1;

	while (used < size && got > 0) {
		got = read(fd, text + used, size - used);
		if (got < 0 && errno == EINTR) {
			got = 1;
			continue;
		}
		if (got < 0)
			return -errno;
		used += (size_t)got;
	}
	return (ssize_t)used;
}

/* Reads size bytes and no more: a file that is being written to is not a policy yet. */
static int source_read_text(int fd, size_t size, struct policy_source *source,
			    struct errors *errors)
{
	ssize_t got;

	source->text = malloc(size + 1);
	if (!source->text) {
		errors_add(errors, POSITION_NONE, "out of memory");
		return -ENOMEM;
	}
	got = source_read_all(fd, source->text, size + 1);
	if (got < 0 || (size_t)got != size) {
		errors_add(errors, POSITION_NONE, "%s",
			   got < 0 ? strerror((int)-got)
				   : "changed while it was read; expected a finished file");
		return -EINVAL;
	}
	source->text[size] = '\0';
	source->size = size;
	crypto_hash_sha256(source->digest, (const unsigned char *)source->text, size);
	return 0;
}

int policy_source_read_at(struct policy_source *source, int directory, const char *path,
			  struct errors *errors)
{
	autoclose int fd =
		openat(directory, directory == AT_FDCWD ? path : policy_source_file_name(path),
		       O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat status;
	int result;

	memset(source, 0, sizeof(*source));
	errors->path = path;
	if (fd < 0 || fstat(fd, &status)) {
		errors_add(errors, POSITION_NONE, "%s",
			   errno == ELOOP ? "a symbolic link; expected the file itself"
					  : strerror(errno));
		return -EINVAL;
	}
	if (source_check_status(&status, errors))
		return -EINVAL;
	source->path = strdup(path);
	if (!source->path) {
		errors_add(errors, POSITION_NONE, "out of memory");
		return -EINVAL;
	}
	result = source_read_text(fd, (size_t)status.st_size, source, errors);
	if (result)
		policy_source_free(source);
	return result;
}

void policy_source_free(struct policy_source *source)
{
	free(source->path);
	free(source->text);
	memset(source, 0, sizeof(*source));
}
