/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Loading policies: all or none, and what was in force stays when new ones are refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "policy/source_check.h"
#include "supervisor/policies/policies.h"

#define GOOD "default: deny"
#define BAD  "colour: red"

struct world {
	char top[32];
	char files[48];
	char plugins[48];
	const char *directories[1];
	struct policies policies;
	int calls;
	int error;
	struct fault fault;
};

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	strcpy(world->top, "/tmp/pvcalls-policies-XXXXXX");
	assert_non_null(mkdtemp(world->top));
	snprintf(world->files, sizeof(world->files), "%s/policy.d", world->top);
	snprintf(world->plugins, sizeof(world->plugins), "%s/plugins", world->top);
	assert_int_equal(mkdir(world->files, 0755), 0);
	assert_int_equal(mkdir(world->plugins, 0755), 0);
	world->directories[0] = world->files;
	world->policies = (struct policies){
		.loop = loop_create(),
		.directories = world->directories,
		.directory_count = 1,
		.directories_given = true,
		.plugin_dir = world->plugins,
		.check_uid = UINT32_MAX,
	};
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;
	char path[64];

	policies_free(&world->policies);
	loop_destroy(world->policies.loop);
	snprintf(path, sizeof(path), "%s/a.yaml", world->files);
	unlink(path);
	rmdir(world->files);
	rmdir(world->plugins);
	assert_int_equal(rmdir(world->top), 0);
	free(world);
	return 0;
}

static void put(struct world *world, const char *line, const char *name)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "%s/a.yaml", world->files);
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "version: 1\nname: %s\nmatch: {name: ['web-*']}\n%s\nchain: []\n", name,
		line);
	fclose(file);
}

static void checked(void *owner, int error, const struct fault *fault)
{
	struct world *world = owner;

	world->calls++;
	world->error = error;
	world->fault = *fault;
}

static int load(struct world *world)
{
	int error;

	world->calls = 0;
	world->fault.text[0] = '\0';
	error = policies_load(&world->policies, checked, world, &world->fault);
	if (error)
		return error;
	assert_int_equal(policies_load(&world->policies, checked, world, NULL), -EBUSY);
	while (!world->calls)
		loop_turn(world->policies.loop, 20 * NS_PER_S);
	return world->error;
}

static const char *policy_of(struct world *world, const char *guest)
{
	struct pvcalls_guest about = {.size = sizeof(about)};
	const struct policy_source *source;
	static char name[PVCALLS_NAME_MAX];

	snprintf(about.name, sizeof(about.name), "%s", guest);
	source = source_list_match(&world->policies.set, &about);
	if (!source || policy_source_name(source, name))
		return "none";
	return name;
}

static void a_bad_one_changes_nothing(void **state)
{
	struct world *world = *state;

	put(world, GOOD, "first");
	assert_int_equal(load(world), 0);
	assert_string_equal(policy_of(world, "web-1"), "first");
	assert_string_equal(policy_of(world, "db"), "none");
	put(world, BAD, "second");
	assert_int_equal(load(world), -EINVAL);
	assert_non_null(strstr(world->fault.text, "a.yaml:4:"));
	assert_true(world->policies.stale);
	assert_string_equal(policy_of(world, "web-1"), "first");
	put(world, GOOD, "third");
	assert_int_equal(load(world), 0);
	assert_false(world->policies.stale);
	assert_string_equal(policy_of(world, "web-1"), "third");
}

static void a_bad_start_is_not_stale(void **state)
{
	struct world *world = *state;

	put(world, BAD, "first");
	assert_int_equal(load(world), -EINVAL);
	assert_false(world->policies.stale);
	assert_string_equal(policy_of(world, "web-1"), "none");
}

static void missing_directories(void **state)
{
	struct world *world = *state;

	assert_int_equal(rmdir(world->files), 0);
	assert_int_equal(load(world), -ENOENT);
	assert_non_null(strstr(world->fault.text, world->files));
	world->policies.directories_given = false;
	assert_int_equal(load(world), 0);
	assert_int_equal(world->policies.set.count, 0);
	assert_false(world->policies.stale);
	assert_int_equal(symlink("plugins/none", world->files), 0);
	assert_int_equal(load(world), 0);
	assert_int_equal(unlink(world->files), 0);
	assert_int_equal(symlink("/dev/null", world->files), 0);
	assert_int_equal(load(world), -ENOTDIR);
	assert_non_null(strstr(world->fault.text, "with --policy-dir"));
	assert_int_equal(unlink(world->files), 0);
}

/* A directory that is gone is a refused reload like any other, also where none was named. */
static void a_directory_that_goes_makes_them_stale(void **state)
{
	struct world *world = *state;
	char moved[64];

	world->policies.directories_given = false;
	put(world, GOOD, "first");
	assert_int_equal(load(world), 0);
	snprintf(moved, sizeof(moved), "%s/moved", world->top);
	assert_int_equal(rename(world->files, moved), 0);
	assert_int_equal(load(world), -ENOENT);
	assert_true(world->policies.stale);
	assert_non_null(strstr(world->policies.stale_fault.text, world->files));
	assert_string_equal(policy_of(world, "web-1"), "first");
	assert_int_equal(rename(moved, world->files), 0);
	assert_int_equal(load(world), 0);
	assert_false(world->policies.stale);
}

static void put_as(struct world *world, const char *file, const char *line, const char *name)
{
	char from[64];
	char to[96];

	put(world, line, name);
	snprintf(from, sizeof(from), "%s/a.yaml", world->files);
	snprintf(to, sizeof(to), "%s/%s", world->files, file);
	assert_int_equal(rename(from, to), 0);
}

/* What a load has changed is said by the policies' names. */
static void changes_are_told(void **state)
{
	struct world *world = *state;
	char path[96];

	put_as(world, "1.yaml", GOOD, "one");
	put_as(world, "2.yaml", GOOD, "two");
	assert_int_equal(load(world), 0);
	assert_string_equal(world->policies.changes, "new: one, two");
	assert_string_equal(policies_name(&world->policies, 1), "two");
	assert_int_equal(load(world), 0);
	assert_string_equal(world->policies.changes, "");
	put_as(world, "1.yaml", "default: allow", "one");
	put_as(world, "2.yaml", GOOD, "second");
	put_as(world, "3.yaml", GOOD, "three");
	assert_int_equal(load(world), 0);
	assert_string_equal(world->policies.changes, "changed: one, second; new: three");
	for (int i = 1; i < 4; i++) {
		snprintf(path, sizeof(path), "%s/%d.yaml", world->files, i);
		assert_int_equal(unlink(path), 0);
	}
	assert_int_equal(load(world), 0);
	assert_string_equal(world->policies.changes, "gone: one, second, three");
}

/* More than can be named are counted, of each kind. */
static void many_changes_are_counted(void **state)
{
	struct world *world = *state;
	char name[64];
	char path[128];
	int i;

	for (i = 0; i < 40; i++) {
		snprintf(path, sizeof(path), "%d.yaml", 10 + i);
		snprintf(name, sizeof(name), "a-name-of-thirty-two-characters-%d", 10 + i);
		put_as(world, path, GOOD, name);
	}
	assert_int_equal(load(world), 0);
	assert_non_null(strstr(world->policies.changes, "new: a-name-of-thirty-two-characters-10, "
							"a-name-of-thirty-two-characters-11, "));
	assert_non_null(strstr(world->policies.changes, "-16 and 33 more"));
	for (i = 0; i < 40; i++) {
		snprintf(path, sizeof(path), "%s/%d.yaml", world->files, 10 + i);
		assert_int_equal(unlink(path), 0);
		snprintf(path, sizeof(path), "%d.yaml", 60 + i);
		put_as(world, path, GOOD, "other");
	}
	assert_int_equal(load(world), 0);
	assert_non_null(strstr(world->policies.changes, " more; gone: 40"));
	for (i = 0; i < 40; i++) {
		snprintf(path, sizeof(path), "%s/%d.yaml", world->files, 60 + i);
		assert_int_equal(unlink(path), 0);
	}
}

static void a_check_can_be_dropped(void **state)
{
	struct world *world = *state;

	put(world, GOOD, "first");
	assert_int_equal(policies_load(&world->policies, checked, world, &world->fault), 0);
	policies_free(&world->policies);
	loop_turn(world->policies.loop, NS_PER_MS);
	assert_int_equal(world->calls, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_bad_one_changes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(a_bad_start_is_not_stale, setup, teardown),
		cmocka_unit_test_setup_teardown(missing_directories, setup, teardown),
		cmocka_unit_test_setup_teardown(a_directory_that_goes_makes_them_stale, setup,
						teardown),
		cmocka_unit_test_setup_teardown(changes_are_told, setup, teardown),
		cmocka_unit_test_setup_teardown(many_changes_are_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(a_check_can_be_dropped, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
