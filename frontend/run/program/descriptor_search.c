/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/program/descriptor_search.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/decimal.h"

/* What is looked for. */
struct descriptor_wanted {
	char target[40]; /* of the link in /proc */
	ino_t own_space;
	int likely;
};

/* The next entry whose name is a number, or -1 at the end. */
static int descriptor_next_number(DIR *directory)
{
	const struct dirent *entry;
	const char *end;
	uint64_t number;

	while ((entry = readdir(directory)))
		if (decimal_read_head(entry->d_name, &end, INT32_MAX, &number) == 0 && !*end)
			return (int)number;
	return -1;
}

static bool descriptor_is_wanted(const struct descriptor_wanted *wanted, int pid, int number)
{
	char path[64];
	char target[sizeof(wanted->target)];
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, number);
	length = readlink(path, target, sizeof(target) - 1);
	if (length < 0)
		return false;
	target[length] = '\0';
	return strcmp(target, wanted->target) == 0;
}

/* The wanted one's number in a process, or -1. */
static int descriptor_search_process(const struct descriptor_wanted *wanted, int pid)
{
	char path[64];
	struct stat space;
	int number;
	DIR *directory;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	if (stat(path, &space) < 0 || space.st_ino == wanted->own_space)
		return -1;
	if (wanted->likely >= 0 && descriptor_is_wanted(wanted, pid, wanted->likely))
		return wanted->likely;
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	directory = opendir(path);
	if (!directory)
		return -1;
	do
		number = descriptor_next_number(directory);
	while (number >= 0 && !descriptor_is_wanted(wanted, pid, number));
	closedir(directory);
	return number;
}

int descriptor_search(uint64_t inode, pid_t *pid, int *number)
{
	struct descriptor_wanted wanted = {.likely = *number};
	DIR *processes = opendir("/proc");
	struct stat space;
	int found = -1;
	int process;

	if (!processes)
		return -ENOENT;
	snprintf(wanted.target, sizeof(wanted.target), "socket:[%" PRIu64 "]", inode);
	if (stat("/proc/self/ns/net", &space) == 0)
		wanted.own_space = space.st_ino;
	while (found < 0 && (process = descriptor_next_number(processes)) >= 0) {
		found = descriptor_search_process(&wanted, process);
		*pid = found < 0 ? *pid : process;
	}
	closedir(processes);
	*number = found < 0 ? *number : found;
	return found < 0 ? -ENOENT : 0;
}
