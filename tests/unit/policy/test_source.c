/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Policy directories: which files are read, in which order, which are refused, and who gets which.
 */
#include "bench_policy.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/policy_header.h"

/* Two directories, one before the other. */
struct dirs {
	char root[40];
	char first[60];
	char second[60];
	const char *list[3];
};

static void dirs_make(struct dirs *dirs)
{
	strcpy(dirs->root, "/tmp/test_source.XXXXXX");
	assert_non_null(mkdtemp(dirs->root));
	snprintf(dirs->first, sizeof(dirs->first), "%s/a", dirs->root);
	snprintf(dirs->second, sizeof(dirs->second), "%s/b", dirs->root);
	assert_int_equal(mkdir(dirs->first, 0755), 0);
	assert_int_equal(mkdir(dirs->second, 0755), 0);
	dirs->list[0] = dirs->first;
	dirs->list[1] = "/tmp/test_source_is_not_there";
	dirs->list[2] = dirs->second;
}

static void dirs_remove(const struct dirs *dirs)
{
	char command[80];

	snprintf(command, sizeof(command), "rm -r %s", dirs->root);
	assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a path of our own */
}

static void put(const char *directory, const char *name, const char *policy, const char *match)
{
	char path[120];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "version: 1\nname: %s\nmatch: {%s}\n", policy, match);
	fclose(file);
}

static void expect_match(const struct source_list *set, const char *name, uint32_t domid,
			 const char *expected)
{
	struct pvcalls_guest guest = {.size = sizeof(guest), .domid = domid};
	const struct policy_source *source;
	char policy[PVCALLS_NAME_MAX] = "nothing";

	strcpy(guest.name, name);
	source = source_list_match(set, &guest);
	if (source)
		assert_int_equal(policy_source_name(source, policy), 0);
	assert_string_equal(policy, expected);
}

static void test_order(void **state)
{
	struct source_list set;
	struct fault fault;
	struct dirs dirs;

	(void)state;
	dirs_make(&dirs);
	put(dirs.first, "90-rest.yaml", "rest", "name: \"*\"");
	put(dirs.first, "10-web.yaml", "web-old", "name: web-*");
	put(dirs.first, "B.yaml", "upper", "name: zzz");
	put(dirs.second, "10-web.yaml", "web", "name: [\"web-[0-9]*\", shop]");
	put(dirs.second, "20-seven.yaml", "seven", "domid: [7, 8], name: \"s*\"");
	put(dirs.second, ".hidden.yaml", "hidden", "name: \"*\"");
	put(dirs.second, "00-not-a-policy.yml", "yml", "name: \"*\"");
	put(dirs.second, "00-backup.yaml~", "backup", "name: \"*\"");
	assert_int_equal(source_list_read(&set, dirs.list, 3, &fault), 0);
	assert_int_equal(set.count, 4);
	assert_non_null(strstr(set.sources[0].path, "/b/10-web.yaml"));
	assert_non_null(strstr(set.sources[3].path, "/a/B.yaml"));
	expect_match(&set, "web-1", 1, "web");
	expect_match(&set, "shop", 1, "web");
	expect_match(&set, "web-x", 1, "rest");
	expect_match(&set, "seven", 7, "seven");
	expect_match(&set, "seven", 9, "rest");
	expect_match(&set, "other", 7, "rest");
	source_list_free(&set);
	dirs_remove(&dirs);
}

static void test_no_match(void **state)
{
	struct source_list set;
	struct fault fault;
	struct dirs dirs;

	(void)state;
	dirs_make(&dirs);
	assert_int_equal(source_list_read(&set, dirs.list, 3, &fault), 0);
	expect_match(&set, "any", 1, "nothing");
	source_list_free(&set);
	put(dirs.first, "a.yaml", "a", "name: web");
	assert_int_equal(source_list_read(&set, dirs.list, 3, &fault), 0);
	expect_match(&set, "web2", 1, "nothing");
	expect_match(&set, "", 1, "nothing");
	source_list_free(&set);
	dirs_remove(&dirs);
}

static void refuse(const struct dirs *dirs, const char *expected)
{
	struct source_list set;
	struct fault fault;

	assert_int_equal(source_list_read(&set, dirs->list, 3, &fault), -EINVAL);
	if (!strstr(fault.text, expected))
		fail_msg("said: %s\nexpected: %s", fault.text, expected);
	assert_null(set.sources);
}

static void test_unsafe(void **state)
{
	char path[100];
	char other[100];
	struct dirs dirs;

	(void)state;
	dirs_make(&dirs);
	put(dirs.first, "a.yaml", "a", "name: a");
	snprintf(path, sizeof(path), "%s/a.yaml", dirs.first);
	assert_int_equal(chmod(path, 0664), 0);
	refuse(&dirs, "a.yaml: writable by group or others (mode 0664); expected chmod go-w");
	assert_int_equal(chmod(path, 0644), 0);
	snprintf(other, sizeof(other), "%s/l.yaml", dirs.second);
	assert_int_equal(symlink(path, other), 0);
	refuse(&dirs, "/b/l.yaml: a symbolic link; expected the file itself");
	unlink(other);
	assert_int_equal(mkfifo(other, 0644), 0);
	refuse(&dirs, "/b/l.yaml: not a regular file");
	unlink(other);
	assert_int_equal(mkdir(other, 0755), 0);
	refuse(&dirs, "/b/l.yaml: not a regular file");
	rmdir(other);
	put(dirs.first, "l.yaml", "l", "name: l");
	snprintf(other, sizeof(other), "%s/l.yaml", dirs.first);
	assert_int_equal(truncate(other, POLICY_FILE_MAX + 1), 0);
	refuse(&dirs, "l.yaml: larger than 1048576 bytes");
	unlink(other);
	if (geteuid() == 0) {
		assert_int_equal(chown(path, 12345, 0), 0);
		refuse(&dirs, "a.yaml: owned by user 12345; expected root");
		assert_int_equal(chown(path, 0, 0), 0);
	}
	assert_int_equal(chmod(dirs.first, 0777), 0);
	refuse(&dirs, "/a: writable by group or others (mode 0777)");
	dirs_remove(&dirs);
}

static void test_digest(void **state)
{
	/* printf 'version: 1\nname: a\nmatch: {name: a}\n' | sha256sum */
	static const uint8_t begin[] = {0x30, 0x22, 0x7a, 0x30};
	struct source_list set;
	struct fault fault;
	struct dirs dirs;

	(void)state;
	dirs_make(&dirs);
	put(dirs.first, "a.yaml", "a", "name: a");
	assert_int_equal(source_list_read(&set, dirs.list, 3, &fault), 0);
	assert_memory_equal(set.sources[0].digest, begin, sizeof(begin));
	source_list_free(&set);
	dirs_remove(&dirs);
}

static void test_check_of_all(void **state)
{
	struct source_list set;
	struct fault fault;
	struct bench bench;
	struct dirs dirs;

	(void)state;
	bench_open(&bench, PLUGIN_DIR);
	dirs_make(&dirs);
	put(dirs.first, "a.yaml", "a", "name: a");
	assert_int_equal(source_list_read(&set, dirs.list, 3, &fault), 0);
	assert_int_equal(source_list_check(&set, bench.registry, bench.host, &fault), 0);
	source_list_free(&set);
	put(dirs.first, "b.yaml", "b", "nmae: a");
	put(dirs.second, "c.yaml", "c", "name: \"[\"");
	assert_int_equal(source_list_read(&set, dirs.list, 3, &fault), 0);
	assert_int_equal(source_list_check(&set, bench.registry, bench.host, &fault), -EINVAL);
	assert_non_null(strstr(fault.text, "/a/b.yaml:3:8: matches nothing"));
	assert_non_null(strstr(fault.text, "\n"));
	assert_non_null(strstr(fault.text, "/b/c.yaml:3:15: not a pattern"));
	source_list_free(&set);
	dirs_remove(&dirs);
	bench_close(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),        cmocka_unit_test(test_no_match),
		cmocka_unit_test(test_unsafe),       cmocka_unit_test(test_digest),
		cmocka_unit_test(test_check_of_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
