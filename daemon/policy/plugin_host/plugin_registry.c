/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/plugin_host/plugin_registry.h"

#include <dirent.h>
#include <dlfcn.h>
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
#include "base/trusted_file.h"
#include "call/call.h"

#define PLUGIN_OBJECT "pvcalls_plugin"
#define PLUGIN_SUFFIX ".so"
/* A descriptor of ABI 1.0: none is smaller. */
#define PLUGIN_SIZE_MIN (offsetof(struct pvcalls_plugin, metrics) + sizeof(void *))
#define PLUGIN_OPS_ALL  ((1u << PVCALLS_OP_COUNT) - 1)

/* A file of the plugin directory: a plugin, or why it is none. */
struct registered_plugin {
	char name[PVCALLS_NAME_MAX];
	bool usable;
	struct pvcalls_plugin plugin;
	struct fault fault;
};

struct plugin_registry {
	struct registered_plugin *list;
	size_t count;
	struct hook_mark *mark; /* borrowed; NULL: nobody looks */
};

static bool plugin_name_is_valid(const char *name)
{
	if (!name || *name < 'a' || *name > 'z' || strlen(name) >= PVCALLS_NAME_MAX)
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(name);
}

static int plugin_check_file(const char *path, struct fault *fault)
{
	autoclose int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat status;

	if (fd < 0)
		return fault_set(fault, errno, "%s: %s", path,
				 errno == ELOOP ? "a symbolic link; expected the file itself"
						: strerror(errno));
	if (fstat(fd, &status))
		return fault_set(fault, errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(status.st_mode))
		return fault_set(fault, EINVAL, "%s: not a regular file", path);
	return trusted_file_check(path, &status, fault);
}

/* Copies what both sides know of the descriptor; the rest stays zero. */
static int plugin_copy_descriptor(const char *path, const struct pvcalls_plugin *theirs,
				  struct pvcalls_plugin *ours, struct fault *fault)
{
	size_t size = theirs->size < sizeof(*ours) ? theirs->size : sizeof(*ours);

	if (theirs->abi_major != PVCALLS_ABI_MAJOR)
		return fault_set(fault, EINVAL,
				 "%s: made for plugin ABI %u; expected %u: build it again", path,
				 theirs->abi_major, PVCALLS_ABI_MAJOR);
	if (theirs->size < PLUGIN_SIZE_MIN)
		return fault_set(fault, EINVAL, "%s: descriptor of %u bytes; expected at least %zu",
				 path, theirs->size, PLUGIN_SIZE_MIN);
	memset(ours, 0, sizeof(*ours));
	memcpy(ours, theirs, size);
	return 0;
}

static int plugin_check_descriptor(const char *path, const char *name,
				   const struct pvcalls_plugin *plugin, struct fault *fault)
{
	if (!plugin_name_is_valid(plugin->name) || strcmp(plugin->name, name) != 0)
		return fault_set(fault, EINVAL,
				 "%s: calls itself \"%.64s\"; expected its file's name, \"%s\"",
				 path, plugin->name ? plugin->name : "", name);
	if (!plugin->version || !plugin->description)
		return fault_set(fault, EINVAL, "%s: no version or description in its descriptor",
				 path);
	if (!plugin->ops || (plugin->ops & ~PLUGIN_OPS_ALL))
		return fault_set(fault, EINVAL,
				 "%s: operations 0x%x; expected some of 0x%x and no others", path,
				 plugin->ops, PLUGIN_OPS_ALL);
	if (plugin->flags)
		return fault_set(fault, EINVAL, "%s: flags 0x%x; expected 0", path, plugin->flags);
	if (!plugin->create || (!plugin->decide && !plugin->observe))
		return fault_set(fault, EINVAL,
				 "%s: a hook is missing; expected create, and decide or observe",
				 path);
	return 0;
}

/* Loads the file; it stays loaded until the process ends, whatever comes of it. */
static int plugin_load_file(const char *path, const char *name, struct pvcalls_plugin *plugin,
			    struct fault *fault)
{
	const struct pvcalls_plugin *theirs;
	void *object;
	int result = plugin_check_file(path, fault);

	if (result)
		return result;
	object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!object)
		return fault_set(fault, EINVAL, "%s: %s", path, dlerror());
	theirs = dlsym(object, PLUGIN_OBJECT);
	if (!theirs)
		return fault_set(fault, EINVAL,
				 "%s: no plugin; expected an exported object " PLUGIN_OBJECT, path);
	result = plugin_copy_descriptor(path, theirs, plugin, fault);
	return result ? result : plugin_check_descriptor(path, name, plugin, fault);
}

/* The part of a file's name before ".so", if that is what it ends in. */
static int plugin_name_of_file(const char *file, char name[PVCALLS_NAME_MAX])
{
	size_t length = strlen(file);

	if (file[0] == '.' || length <= strlen(PLUGIN_SUFFIX) ||
	    strcmp(file + length - strlen(PLUGIN_SUFFIX), PLUGIN_SUFFIX) != 0)
		return -ENOENT;
	length -= strlen(PLUGIN_SUFFIX);
	if (length >= PVCALLS_NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(name, file, length);
	name[length] = '\0';
	return 0;
}

static int registry_add_file(struct plugin_registry *registry, const char *directory,
			     const char *file, struct fault *fault)
{
	struct registered_plugin *entry = &registry->list[registry->count];
	char path[PATH_MAX];

	ASSERT(registry->count <= PLUGINS_MAX);
	if (registry->count >= PLUGINS_MAX)
		return fault_set(fault, E2BIG, "%s: more than %u plugins", directory, PLUGINS_MAX);
	if (plugin_name_of_file(file, entry->name))
		return 0;
	snprintf(path, sizeof(path), "%s/%s", directory, file);
	entry->usable = plugin_load_file(path, entry->name, &entry->plugin, &entry->fault) == 0;
	registry->count++;
	return 0;
}

/* Opens the directory if it is a safe one. Returns NULL with *result, -errno, and *fault. */
static DIR *registry_open_directory(const char *directory, int *result, struct fault *fault)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat status;
	DIR *dir = NULL;

	if (fd < 0 || fstat(fd, &status)) {
		*result = fault_set(fault, errno, "plugin directory %s: %s", directory,
				    strerror(errno));
		fd_close(&fd);
		return NULL;
	}
	*result = trusted_file_check(directory, &status, fault);
	if (!*result) {
		dir = fdopendir(fd);
		if (!dir)
			*result = fault_set(fault, errno, "plugin directory %s: %s", directory,
					    strerror(errno));
	}
	if (!dir)
		fd_close(&fd);
	return dir;
}

static int registry_load_all(struct plugin_registry *registry, const char *directory,
			     struct fault *fault)
{
	struct dirent *file;
	int result;
	DIR *dir = registry_open_directory(directory, &result, fault);

	if (!dir)
		return result;
	while (!result && (file = readdir(dir)))
		if (strlen(file->d_name) > strlen(PLUGIN_SUFFIX))
			result = registry_add_file(registry, directory, file->d_name, fault);
	closedir(dir);
	return result;
}

int plugin_registry_load(struct plugin_registry **registry, const char *directory,
			 struct fault *fault)
{
	struct plugin_registry *made = calloc(1, sizeof(*made));
	int result = -ENOMEM;

	*registry = NULL;
	if (made)
		made->list = calloc(PLUGINS_MAX + 1, sizeof(*made->list));
	if (made && made->list)
		result = registry_load_all(made, directory, fault);
	else
		fault_set(fault, ENOMEM, "out of memory");
	if (result)
		plugin_registry_free(made);
	else
		*registry = made;
	return result;
}

void plugin_registry_free(struct plugin_registry *registry)
{
	if (registry)
		free(registry->list);
	free(registry);
}

void plugin_registry_mark_hooks(struct plugin_registry *registry, struct hook_mark *mark)
{
	registry->mark = mark;
}

struct hook_mark *plugin_registry_mark(const struct plugin_registry *registry)
{
	return registry ? registry->mark : NULL;
}

const struct pvcalls_plugin *plugin_registry_find(const struct plugin_registry *registry,
						  const char *name, struct fault *fault)
{
	const struct registered_plugin *entry;
	size_t i;

	for (i = 0; registry && i < registry->count; i++) {
		entry = &registry->list[i];
		if (strcmp(entry->name, name) != 0)
			continue;
		if (entry->usable)
			return &entry->plugin;
		fault_set(fault, EINVAL, "%s", entry->fault.text);
		return NULL;
	}
	fault_set(
		fault, ENOENT,
		"unknown plugin \"%.64s\"; expected one of the plugin directory's (%.64s" PLUGIN_SUFFIX
		" is not there)",
		name, name);
	return NULL;
}

static int plugin_write(const struct pvcalls_plugin *plugin, char *text, size_t size)
{
	size_t used;
	uint32_t op;
	int length = snprintf(
		text, size,
		"name: %s\nversion: %s\nabi: %u.%u\ndescription: %s\nops:", plugin->name,
		plugin->version, plugin->abi_major, plugin->abi_minor, plugin->description);

	for (op = 0; op < PVCALLS_OP_COUNT && length >= 0 && (size_t)length < size; op++)
		if (plugin->ops & 1u << op) {
			used = (size_t)length;
			length +=
				snprintf(text + used, size - used, " %s", call_operations[op].name);
		}
	if (length < 0 || (size_t)length >= size)
		return -ENOSPC;
	used = (size_t)length;
	length = snprintf(text + used, size - used, "\nhooks: %s%s%s%s%s%s\n",
			  plugin->decide ? "decide " : "", plugin->check ? "check " : "",
			  plugin->observe ? "observe " : "", plugin->explain ? "explain " : "",
			  plugin->inherit ? "inherit " : "", plugin->metrics ? "metrics" : "");
	return length < 0 || (size_t)length >= size - used ? -ENOSPC : 0;
}

int plugin_describe(const char *path, char *text, size_t size, struct fault *fault)
{
	const char *slash = strrchr(path, '/');
	char name[PVCALLS_NAME_MAX];
	struct pvcalls_plugin plugin = {0};
	int result;

	if (plugin_name_of_file(slash ? slash + 1 : path, name))
		return fault_set(fault, EINVAL, "%s: no plugin; expected NAME" PLUGIN_SUFFIX, path);
	result = plugin_load_file(path, name, &plugin, fault);
	if (!result && plugin_write(&plugin, text, size))
		result = fault_set(fault, ENOSPC, "%s: its description is too long", path);
	return result;
}
