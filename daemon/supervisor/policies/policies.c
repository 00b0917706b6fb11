/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/policies/policies.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "policy/host_view/host_view.h"
#include "policy/host_view/unprivileged_ports.h"
#include "policy/plugin_host/plugin_registry.h"
#include "policy/source_check.h"
#include "supervisor/children/job.h"

#define POLICIES_CHANGES_MORE 96u /* bytes for words, and for how many are not named */

/* Whether policies in force were read in this directory. */
static bool policies_are_of(const struct policies *policies, const char *directory)
{
	size_t length = strlen(directory);
	size_t i;

	for (i = 0; i < policies->set.count; i++)
		if (strncmp(policies->set.sources[i].path, directory, length) == 0 &&
		    policies->set.sources[i].path[length] == '/')
			return true;
	return false;
}

/* Directories that exist; one that was asked for by name, or whose policies are in force, must. */
static int policies_choose_directories(const struct policies *policies, const char **chosen,
				       size_t *count, struct fault *fault)
{
	*count = 0;
	for (size_t i = 0; i < policies->directory_count; i++) {
		const char *path = policies->directories[i];
		struct stat status;
		int error = stat(path, &status) == 0 ? 0 : errno;

		if (error == ENOENT && !policies->directories_given &&
		    !policies_are_of(policies, path))
			continue;
		if (!error && !S_ISDIR(status.st_mode))
			error = ENOTDIR;
		if (error)
			return fault_set(fault, error,
					 "policy directory %s: %s; create it or name another "
					 "with --policy-dir",
					 path, strerror(error));
		chosen[(*count)++] = path;
	}
	return 0;
}

/* Gives up what a plugin's code does not need. The registry is loaded before: where plugins lie
 * need not be readable for others.
 */
static int policies_give_up_rights(uint32_t uid)
{
	if (uid == UINT32_MAX)
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
		return -errno;
	return 0;
}

static int policies_check(void *context, int output)
{
	const struct policies *policies = context;
	struct plugin_registry *registry = NULL;
	struct host_view *host = NULL;
	struct fault fault = {.text = ""};
	int error = plugin_registry_load(&registry, policies->plugin_dir, &fault);

	if (!error && policies_give_up_rights(policies->check_uid))
		error = fault_set(&fault, EPERM, "cannot become user %u to check policies: %s",
				  policies->check_uid, strerror(errno));
	if (!error)
		error = host_view_open_addresses(&host, &fault);
	if (!error) {
		host_view_set_first_port(host,
					 policies->low_ports ? 0 : unprivileged_ports_first());
		error = source_list_check(&policies->candidate, registry, host, &fault);
	}
	job_say(output, fault.text);
	return error ? 1 : 0;
}

static void policies_fill_fault(struct fault *fault, int result, const char *text)
{
	if (result == -ETIMEDOUT)
		fault_set(fault, EINVAL,
			  "checking the policies took longer than 10 s: a plugin may hang");
	else if (result < 0)
		fault_set(
			fault, EINVAL,
			"checking the policies crashed: a plugin is broken, see what it said before");
	else
		snprintf(fault->text, sizeof(fault->text), "%s",
			 text[0] ? text : "checking the policies failed without a reason");
}

static void policies_refuse(struct policies *policies, const struct fault *fault)
{
	source_list_free(&policies->candidate);
	policies->candidate = (struct source_list){0};
	policies->stale = policies->loaded_wall_ns != 0;
	policies->stale_fault = *fault;
}

/* The source of this file in a list, or NULL. */
static const struct policy_source *policies_find_file(const struct source_list *list,
						      const char *path)
{
	size_t i;

	for (i = 0; i < list->count; i++)
		if (strcmp(list->sources[i].path, path) == 0)
			return &list->sources[i];
	return NULL;
}

/* The names of all; NULL without memory. */
static struct policy_name *policies_read_names(const struct source_list *list)
{
	struct policy_name *names = calloc(list->count + 1, sizeof(*names));
	size_t i;

	for (i = 0; names && i < list->count; i++)
		if (policy_source_name(&list->sources[i], names[i].text))
			names[i].text[0] = '\0';
	return names;
}

/* Whether this policy of a list is one that the other list has not, or (changed) has otherwise. */
static bool policies_differs(const struct policy_source *source, const struct source_list *other,
			     bool changed)
{
	const struct policy_source *same = policies_find_file(other, source->path);

	if (!same)
		return !changed;
	return changed && memcmp(same->digest, source->digest, sizeof(source->digest)) != 0;
}

/*
 * Adds "word NAME, NAME" for the policies of list that other has not, or has otherwise; how many
 * there are of those that there is no room for.
 */
static void policies_tell_changes(struct policies *policies, const char *word,
				  const struct source_list *list, const struct source_list *other,
				  bool changed)
{
	char *text = policies->changes;
	size_t used = strlen(text);
	const char *before = used ? "; " : "";
	char name[PVCALLS_NAME_MAX];
	size_t more = 0;
	size_t shown = 0;
	size_t i;

	for (i = 0; i < list->count; i++) {
		if (!policies_differs(&list->sources[i], other, changed))
			continue;
		if (policy_source_name(&list->sources[i], name))
			snprintf(name, sizeof(name), "?");
		if (more ||
		    used + strlen(name) + POLICIES_CHANGES_MORE > sizeof(policies->changes)) {
			more++;
			continue;
		}
		snprintf(text + used, sizeof(policies->changes) - used, "%s%s %s",
			 shown ? "," : before, shown ? "" : word, name);
		used = strlen(text);
		shown++;
	}
	if (more)
		snprintf(text + used, sizeof(policies->changes) - used, "%s%s %zu%s",
			 shown ? " " : before, shown ? "and" : word, more, shown ? " more" : "");
}

static void policies_put_in_force(struct policies *policies)
{
	policies->changes[0] = '\0';
	policies_tell_changes(policies, "changed:", &policies->candidate, &policies->set, true);
	policies_tell_changes(policies, "new:", &policies->candidate, &policies->set, false);
	policies_tell_changes(policies, "gone:", &policies->set, &policies->candidate, false);
	free(policies->names);
	policies->names = policies_read_names(&policies->candidate);
	source_list_free(&policies->set);
	policies->set = policies->candidate;
	policies->candidate = (struct source_list){0};
	policies->loaded_wall_ns = clock_wall_ns();
	policies->stale = false;
	policies->stale_fault.text[0] = '\0';
}

static void policies_check_done(void *owner, int result, const char *text)
{
	struct policies *policies = owner;
	struct fault fault = {.text = ""};

	ASSERT(policies->job);
	policies->job = NULL;
	if (result) {
		policies_fill_fault(&fault, result, text);
		policies_refuse(policies, &fault);
	} else {
		policies_put_in_force(policies);
		snprintf(fault.text, sizeof(fault.text), "%s", text);
	}
	policies->checked(policies->owner, result ? -EINVAL : 0, &fault);
}

int policies_load(struct policies *policies,
		  void (*checked)(void *owner, int error, const struct fault *fault), void *owner,
		  struct fault *fault)
{
	const char *chosen[POLICIES_DIRECTORIES_MAX];
	size_t count;
	int error;

	ASSERT(policies->directory_count <= POLICIES_DIRECTORIES_MAX);
	if (policies->job)
		return fault_set(fault, EBUSY, "a reload is under way already");
	error = policies_choose_directories(policies, chosen, &count, fault);
	if (!error)
		error = source_list_read(&policies->candidate, chosen, count, fault);
	if (error) {
		policies_refuse(policies, fault);
		return error;
	}
	policies->checked = checked;
	policies->owner = owner;
	error = job_start(&policies->job, policies->loop, policies_check, policies,
			  POLICIES_CHECK_NS, policies_check_done, policies);
	if (!error)
		return 0;
	fault_set(fault, -error, "cannot start a process to check policies: %s", strerror(-error));
	policies_refuse(policies, fault);
	return error;
}

const char *policies_name(const struct policies *policies, size_t index)
{
	ASSERT(index < policies->set.count);
	return policies->names && policies->names[index].text[0] ? policies->names[index].text
								 : "?";
}

void policies_free(struct policies *policies)
{
	free(policies->names);
	policies->names = NULL;
	job_cancel(policies->job);
	policies->job = NULL;
	source_list_free(&policies->set);
	source_list_free(&policies->candidate);
	policies->set = (struct source_list){0};
	policies->candidate = (struct source_list){0};
}
