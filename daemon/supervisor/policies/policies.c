/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/policies/policies.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "policy/host_view/host_view.h"
#include "policy/plugin_host/plugin_registry.h"
#include "policy/source_check.h"
#include "supervisor/children/job.h"

/* Directories that exist; one that was asked for by name must. */
static int policies_choose_directories(const struct policies *policies, const char **chosen,
				       size_t *count, struct fault *fault)
{
	*count = 0;
	for (size_t i = 0; i < policies->directory_count; i++) {
		const char *path = policies->directories[i];
		struct stat status;

		if (stat(path, &status) == 0) {
			chosen[(*count)++] = path;
			continue;
		}
		if (errno == ENOENT && !policies->directories_given)
			continue;
		return fault_set(fault, errno,
				 "policy directory %s: %s; create it or name another "
				 "with --policy-dir",
				 path, strerror(errno));
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
	if (!error)
		error = source_list_check(&policies->candidate, registry, host, &fault);
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

static void policies_put_in_force(struct policies *policies)
{
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
	if (!error) {
		error = source_list_read(&policies->candidate, chosen, count, fault);
		if (error)
			policies_refuse(policies, fault);
	}
	if (error)
		return error;
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

void policies_free(struct policies *policies)
{
	job_cancel(policies->job);
	policies->job = NULL;
	source_list_free(&policies->set);
	source_list_free(&policies->candidate);
	policies->set = (struct source_list){0};
	policies->candidate = (struct source_list){0};
}
