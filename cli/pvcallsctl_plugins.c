/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Plugins are described here and not by the daemon, in which no plugin's code ever runs. Each is
 * loaded by a child, so that one which crashes when it is loaded does not hide the others.
 */
#include "pvcallsctl_plugins.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/glob.h"
#include "policy/plugin_host/plugin_registry.h"
#include "pvcallsctl_table.h"

#define DESCRIPTION_MAX 16384
#define SECONDS_MAX     10u /* a plugin that hangs when it is loaded */

/* In the child: its description, or why there is none, goes to output. */
static int plugins_describe_in_child(const char *path, int output)
{
	char text[DESCRIPTION_MAX] = "";
	struct fault fault = {.text = ""};
	int error;

	alarm(SECONDS_MAX);
	error = plugin_describe(path, text, sizeof(text), &fault);
	if (error)
		snprintf(text, sizeof(text), "%s", fault.text);
	if (write(output, text, strlen(text)) < 0)
		return 1;
	return error ? 1 : 0;
}

static size_t plugins_read_all(int fd, char *text, size_t size)
{
	size_t used = 0;
	ssize_t got;

	while (used < size - 1 && (got = read(fd, text + used, size - 1 - used)) > 0)
		used += (size_t)got;
	text[used] = '\0';
	return used;
}

/* Returns 0 with the description, or -errno with what is wrong. */
static int plugins_describe(const char *path, char text[DESCRIPTION_MAX])
{
	int status = 0;
	int ends[2];
	pid_t pid;

	if (pipe(ends) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		_exit(plugins_describe_in_child(path, ends[1]));
	close(ends[1]);
	if (pid > 0) {
		plugins_read_all(ends[0], text, DESCRIPTION_MAX);
		waitpid(pid, &status, 0);
	}
	close(ends[0]);
	if (pid < 0)
		return -EAGAIN;
	if (!WIFEXITED(status))
		snprintf(text, DESCRIPTION_MAX, "%s: it crashes or hangs when it is loaded", path);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EINVAL;
}

static void plugins_print_lines(char *text)
{
	char *rest = NULL;

	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		table_print_safely(line);
		putchar('\n');
	}
}

static enum ctl_status plugins_show_file(const char *path, json_t *array)
{
	char text[DESCRIPTION_MAX] = "";
	int error = plugins_describe(path, text);

	if (array)
		json_array_append_new(array, json_pack("{s:s, s:b, s:s}", "file", path, "valid",
						       !error, "text", text));
	else if (error)
		fprintf(stderr, "pvcallsctl: %s\n", text);
	else
		plugins_print_lines(text);
	return error ? CTL_INPUT : CTL_OK;
}

static int plugins_is_plugin(const struct dirent *entry)
{
	return entry->d_name[0] != '.' && glob_matches("*.so", entry->d_name);
}

static enum ctl_status plugins_show_directory(const char *directory, json_t *array)
{
	enum ctl_status status = CTL_OK;
	struct dirent **entries;
	int count = scandir(directory, &entries, plugins_is_plugin, alphasort);

	if (count < 0) {
		fprintf(stderr, "pvcallsctl: plugin directory %s: %s\n", directory,
			strerror(errno));
		return CTL_DAEMON;
	}
	for (int i = 0; i < count; i++) {
		char path[PATH_MAX];

		snprintf(path, sizeof(path), "%s/%s", directory, entries[i]->d_name);
		if (plugins_show_file(path, array))
			status = CTL_INPUT;
		if (!array && i + 1 < count)
			putchar('\n');
		free(entries[i]);
	}
	free(entries);
	return status;
}

enum ctl_status plugins_show(const char *directory, const char *file, bool as_json)
{
	json_t *array = as_json ? json_array() : NULL;
	enum ctl_status status =
		file ? plugins_show_file(file, array) : plugins_show_directory(directory, array);

	if (array) {
		json_dumpf(array, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(array);
	}
	return status;
}
