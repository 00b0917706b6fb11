/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/source.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "policy/errors.h"
#include "policy/header.h"
#include "policy/policy.h"

#define SUFFIX ".yaml"

static const struct position nowhere = {0, 0};

static const char *base_name(const char *path)
{
	/* The analyser forgets that all of a set's sources have a path. */
	const char *slash = strrchr(path, '/'); /* NOLINT(clang-analyzer-core.*) */

	return slash ? slash + 1 : path;
}

/* Who may have written a policy: root or the daemon's user, and nobody else. */
static int check_status(const struct stat *status, struct errors *errors)
{
	if (!S_ISREG(status->st_mode))
		return errors_add(errors, nowhere, "not a regular file; expected a policy");
	if (status->st_uid != 0 && status->st_uid != geteuid())
		return errors_add(errors, nowhere, "owned by user %u; expected root",
				  status->st_uid);
	if (status->st_mode & (S_IWGRP | S_IWOTH))
		return errors_add(errors, nowhere,
				  "writable by group or others (mode %04o); expected chmod go-w",
				  status->st_mode & 07777);
	if (status->st_size > POLICY_FILE_MAX)
		return errors_add(errors, nowhere, "larger than %u bytes; expected a smaller file",
				  POLICY_FILE_MAX);
	return 0;
}

/* Reads up to size bytes; one more than expected tells a file that grew. Bytes or -errno. */
static ssize_t read_all(int fd, char *text, size_t size)
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
static int read_text(int fd, size_t size, struct policy_source *source, struct errors *errors)
{
	ssize_t got;

	source->text = malloc(size + 1);
	if (!source->text) {
		errors_add(errors, nowhere, "out of memory");
		return -ENOMEM;
	}
	got = read_all(fd, source->text, size + 1);
	if (got < 0 || (size_t)got != size) {
		errors_add(errors, nowhere, "%s",
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
	autoclose int fd = openat(directory, directory == AT_FDCWD ? path : base_name(path),
				  O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat status;
	int result;

	memset(source, 0, sizeof(*source));
	errors->path = path;
	if (fd < 0 || fstat(fd, &status)) {
		errors_add(errors, nowhere, "%s",
			   errno == ELOOP ? "a symbolic link; expected the file itself"
					  : strerror(errno));
		return -EINVAL;
	}
	if (check_status(&status, errors))
		return -EINVAL;
	source->path = strdup(path);
	if (!source->path) {
		errors_add(errors, nowhere, "out of memory");
		return -EINVAL;
	}
	result = read_text(fd, (size_t)status.st_size, source, errors);
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

static bool is_policy_name(const char *name)
{
	size_t length = strlen(name);

	return name[0] != '.' && length > strlen(SUFFIX) &&
	       strcmp(name + length - strlen(SUFFIX), SUFFIX) == 0;
}

/* Puts source into the set: in place of one with the same file name, or at the end. */
static int put(struct policy_set *set, struct policy_source *source, struct errors *errors)
{
	size_t i;

	for (i = 0; i < set->count; i++)
		if (strcmp(base_name(set->sources[i].path), base_name(source->path)) == 0)
			break;
	if (i == POLICY_FILES_MAX) {
		errors_add(errors, nowhere, "more than %u policies; expected fewer",
			   POLICY_FILES_MAX);
		return -EINVAL;
	}
	if (i < set->count)
		policy_source_free(&set->sources[i]);
	else
		set->count++;
	set->sources[i] = *source;
	return 0;
}

static int check_directory(int fd, const char *directory, struct errors *errors)
{
	struct stat status;

	errors->path = directory;
	if (fstat(fd, &status))
		return errors_add(errors, nowhere, "%s", strerror(errno));
	if (status.st_uid != 0 && status.st_uid != geteuid())
		return errors_add(errors, nowhere, "owned by user %u; expected root",
				  status.st_uid);
	if (status.st_mode & (S_IWGRP | S_IWOTH))
		return errors_add(errors, nowhere,
				  "writable by group or others (mode %04o); expected chmod go-w",
				  status.st_mode & 07777);
	return 0;
}

static int read_file(struct policy_set *set, int fd, const char *directory, const char *name,
		     struct errors *errors)
{
	struct policy_source source;
	char path[PATH_MAX];
	int result;

	if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path))
		return errors_add(errors, nowhere, "its path is too long");
	result = policy_source_read_at(&source, fd, path, errors);
	if (!result)
		result = put(set, &source, errors);
	if (result)
		policy_source_free(&source);
	errors->path = directory;
	return result;
}

static void read_directory(struct policy_set *set, const char *directory, struct errors *errors)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *file;
	DIR *dir;

	errors->path = directory;
	if (fd < 0) {
		if (errno != ENOENT) /* a layer that nobody uses need not exist */
			errors_add(errors, nowhere, "%s", strerror(errno));
		return;
	}
	dir = check_directory(fd, directory, errors) ? NULL : fdopendir(fd);
	if (!dir) {
		fd_close(&fd);
		return;
	}
	while ((file = readdir(dir)))
		if (is_policy_name(file->d_name))
			read_file(set, fd, directory, file->d_name, errors);
	closedir(dir);
}

static int by_name(const void *a, const void *b)
{
	const struct policy_source *left = a;
	const struct policy_source *right = b;

	return strcmp(base_name(left->path), base_name(right->path));
}

int policy_set_read(struct policy_set *set, const char *const *directories, size_t count,
		    struct fault *fault)
{
	struct errors errors = {0};
	int result;
	size_t i;

	memset(set, 0, sizeof(*set));
	if (fault)
		fault->text[0] = '\0';
	set->sources = calloc(POLICY_FILES_MAX, sizeof(*set->sources));
	if (!set->sources)
		return fault_set(fault, ENOMEM, "out of memory");
	for (i = 0; i < count; i++)
		read_directory(set, directories[i], &errors);
	if (set->count)
		qsort(set->sources, set->count, sizeof(*set->sources), by_name);
	result = errors_tell(&errors, fault);
	errors_free(&errors);
	if (result)
		policy_set_free(set);
	return result;
}

void policy_set_free(struct policy_set *set)
{
	size_t i;

	for (i = 0; i < set->count; i++)
		policy_source_free(&set->sources[i]);
	free(set->sources);
	memset(set, 0, sizeof(*set));
}

/* Reads the header of a source; memory holds what it points to. Returns 0 or -EINVAL. */
static int read_header(const struct policy_source *source, struct arena *memory,
		       struct header *header)
{
	struct errors errors = {.path = source->path};
	const struct pvcalls_value *root;
	int result = -EINVAL;

	root = tree_read(memory, source->text, source->size, &errors);
	if (root)
		result = header_read(header, root, &errors);
	errors_free(&errors);
	return result;
}

const struct policy_source *policy_set_match(const struct policy_set *set,
					     const struct pvcalls_guest *guest)
{
	struct arena memory = {NULL};
	struct header header;
	bool matches;
	size_t i;

	for (i = 0; i < set->count; i++) {
		matches = read_header(&set->sources[i], &memory, &header) == 0 &&
			  header_matches(&header, guest);
		arena_free(&memory);
		if (matches)
			return &set->sources[i];
	}
	return NULL;
}

int policy_source_name(const struct policy_source *source, char name[PVCALLS_NAME_MAX])
{
	struct arena memory = {NULL};
	struct header header;
	int result = read_header(source, &memory, &header);

	if (!result)
		memcpy(name, header.name, strlen(header.name) + 1);
	arena_free(&memory);
	return result;
}

int policy_source_check(const struct policy_source *source, const struct plugin_registry *registry,
			struct errors *errors)
{
	static const struct pvcalls_guest guest = {.size = sizeof(guest), .name = "check"};
	struct policy *policy;
	int result =
		policy_compile_telling(&policy, source, registry, NULL, &guest, NULL, NULL, errors);

	policy_free(policy);
	return result;
}

int policy_set_check(const struct policy_set *set, const struct plugin_registry *registry,
		     struct fault *fault)
{
	struct errors errors = {0};
	int result = 0;
	int told;
	size_t i;

	if (fault)
		fault->text[0] = '\0';
	for (i = 0; i < set->count; i++)
		if (policy_source_check(&set->sources[i], registry, &errors))
			result = -EINVAL;
	told = errors_tell(&errors, fault);
	errors_free(&errors);
	return told ? told : result;
}
