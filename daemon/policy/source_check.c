/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/source_check.h"

#include <errno.h>
#include <string.h>

#include "policy/compile.h"
#include "policy/policy.h"
#include "policy/policy_header.h"
#include "policy/policy_tests.h"
#include "policy/yaml/errors.h"

/* Reads the header of a source; memory holds what it points to. Returns 0 or -EINVAL. */
static int source_read_header(const struct policy_source *source, struct arena *memory,
			      struct policy_header *header)
{
	struct errors errors = {.path = source->path};
	const struct pvcalls_value *root;
	int result = -EINVAL;

	root = tree_read(memory, source->text, source->size, &errors);
	if (root)
		result = policy_header_read(header, root, &errors);
	errors_free(&errors);
	return result;
}

const struct policy_source *source_list_match(const struct source_list *list,
					      const struct pvcalls_guest *guest)
{
	struct arena memory = {NULL};
	struct policy_header header;
	bool matches;
	size_t i;

	for (i = 0; i < list->count; i++) {
		matches = source_read_header(&list->sources[i], &memory, &header) == 0 &&
			  policy_header_matches(&header, guest);
		arena_free(&memory);
		if (matches)
			return &list->sources[i];
	}
	return NULL;
}

int policy_source_name(const struct policy_source *source, char name[PVCALLS_NAME_MAX])
{
	struct arena memory = {NULL};
	struct policy_header header;
	int result = source_read_header(source, &memory, &header);

	if (!result)
		memcpy(name, header.name, strlen(header.name) + 1);
	arena_free(&memory);
	return result;
}

int policy_source_check(const struct policy_source *source, const struct plugin_registry *registry,
			struct host_view *host, struct errors *errors)
{
	static const struct pvcalls_guest guest = {.size = sizeof(guest), .name = "check"};
	struct policy *policy;
	int result =
		policy_compile_telling(&policy, source, registry, host, &guest, NULL, NULL, errors);

	if (!result)
		result = policy_tests_run(policy, errors);
	policy_free(policy);
	return result;
}

/* Tells of a policy that no guest gets, because each that it is for gets one before it. */
static void source_list_warn_of_unused(const struct source_list *list, size_t index,
				       struct errors *warnings)
{
	const struct errors errors = {.path = list->sources[index].path, .warnings = warnings};
	struct arena memory = {NULL};
	struct policy_header header;
	struct policy_header before;
	size_t i;

	if (source_read_header(&list->sources[index], &memory, &header))
		return;
	for (i = 0; i < index; i++) {
		if (source_read_header(&list->sources[i], &memory, &before) ||
		    !policy_header_covers(&before, &header))
			continue;
		errors_warn(&errors, header.match->at,
			    "policy %s is never used: all its guests get policy %s of %s",
			    header.name, before.name, list->sources[i].path);
		break;
	}
	arena_free(&memory);
}

int source_list_check(const struct source_list *list, const struct plugin_registry *registry,
		      struct host_view *host, struct fault *fault)
{
	struct errors warnings = {0};
	struct errors errors = {.warnings = &warnings};
	int result = 0;
	int told;
	size_t i;

	if (fault)
		fault->text[0] = '\0';
	for (i = 0; i < list->count; i++)
		if (policy_source_check(&list->sources[i], registry, host, &errors))
			result = -EINVAL;
	for (i = 0; i < list->count && !result; i++)
		source_list_warn_of_unused(list, i, &warnings);
	told = errors_tell(&errors, fault);
	errors_tell(&warnings, fault);
	errors_free(&errors);
	errors_free(&warnings);
	return told ? told : result;
}
