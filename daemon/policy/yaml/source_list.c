/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/yaml/source_list.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/fd.h"
#include "policy/yaml/errors.h"

#define SOURCE_SUFFIX ".yaml"

static bool source_list_takes(const char *name)
{
	size_t length = strlen(name);

	return name[0] != '.' && length > strlen(SOURCE_SUFFIX) &&
	       strcmp(name + length - strlen(SOURCE_SUFFIX), SOURCE_SUFFIX) == 0;
}

/* Puts source into the list: in place of one with the same file name, or at the end. */
static int source_list_put(struct source_list *list, struct policy_source *source,
			   struct errors *errors)
{
	size_t i;

	ASSERT(list->count <= POLICY_FILES_MAX && source->path);
	for (i = 0; i < list->count; i++)
		if (strcmp(policy_source_file_name(list->sources[i].path),
			   policy_source_file_name(source->path)) == 0)
			break;
	if (i == POLICY_FILES_MAX) {
		errors_add(errors, POSITION_NONE, "more than %u policies; expected fewer",
			   POLICY_FILES_MAX);
		return -EINVAL;
	}
	if (i < list->count)
		policy_source_free(&list->sources[i]);
	else
		list->count++;
	list->sources[i] = *source;
	return 0;
}

static int source_list_check_directory(int fd, const char *directory, struct errors *errors)
{
	struct stat status;

	errors->path = directory;
	if (fstat(fd, &status))
		return errors_add(errors, POSITION_NONE, "%s", strerror(errno));
	return policy_source_check_owner(&status, errors);
}

static int source_list_read_file(struct source_list *list, int fd, const char *directory,
				 const char *name, struct errors *errors)
{
	struct policy_source source;
	char path[PATH_MAX];
	int result;

	if (snprintf(path, sizeof(path), "%s/%s", directory, name) >= (int)sizeof(path))
		return errors_add(errors, POSITION_NONE, "its path is too long");
	result = policy_source_read_at(&source, fd, path, errors);
	if (!result)
		result = source_list_put(list, &source, errors);
	if (result)
		policy_source_free(&source);
	errors->path = directory;
	return result;
}

static void source_list_read_directory(struct source_list *list, const char *directory,
				       struct errors *errors)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *file;
	DIR *dir;

	errors->path = directory;
	if (fd < 0) {
		if (errno != ENOENT) /* a layer that nobody uses need not exist */
			errors_add(errors, POSITION_NONE, "%s", strerror(errno));
		return;
	}
	dir = source_list_check_directory(fd, directory, errors) ? NULL : fdopendir(fd);
	if (!dir) {
		fd_close(&fd);
		return;
	}
	while ((file = readdir(dir)))
		if (source_list_takes(file->d_name))
			source_list_read_file(list, fd, directory, file->d_name, errors);
	closedir(dir);
}

static int source_compare_names(const void *a, const void *b)
{
	const struct policy_source *left = a;
	const struct policy_source *right = b;

	return strcmp(policy_source_file_name(left->path), policy_source_file_name(right->path));
}

int source_list_read(struct source_list *list, const char *const *directories, size_t count,
		     struct fault *fault)
{
	struct errors errors = {0};
	int result;
	size_t i;

	memset(list, 0, sizeof(*list));
	if (fault)
		fault->text[0] = '\0';
	list->sources = calloc(POLICY_FILES_MAX, sizeof(*list->sources));
	if (!list->sources)
		return fault_set(fault, ENOMEM, "out of memory");
	for (i = 0; i < count; i++)
		source_list_read_directory(list, directories[i], &errors);
	if (list->count)
		qsort(list->sources, list->count, sizeof(*list->sources), source_compare_names);
	result = errors_tell(&errors, fault);
	errors_free(&errors);
	if (result)
		source_list_free(list);
	return result;
}

void source_list_free(struct source_list *list)
{
	size_t i;

	for (i = 0; i < list->count; i++)
		policy_source_free(&list->sources[i]);
	free(list->sources);
	memset(list, 0, sizeof(*list));
}
