/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What people write into pvcallsd.yaml. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "supervisor/settings/config.h"

static int parse(struct config *config, struct fault *fault, const char *text)
{
	fault->text[0] = '\0';
	return config_parse(config, "c.yaml", text, strlen(text), fault);
}

static void config_has_defaults(void **state)
{
	static const char *const empty[] = {"", "\n", "# nothing\n  # at all\n"};
	struct config config;
	struct fault fault;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(parse(&config, &fault, empty[i]), 0);
		assert_false(config.sync || config.low_ports);
		assert_int_equal(config.uids_first, CONFIG_UIDS_FIRST);
		assert_int_equal(config.uids_count, CONFIG_UIDS_COUNT);
		assert_int_equal(config.sockets, CONFIG_SOCKETS);
		assert_true(config.adapt_priority);
		assert_false(config.read_local);
		config_clear(&config);
	}
}

static void config_reads_all(void **state)
{
	static const char text[] = "durability: sync\n"
				   "engine: {uids: 5000-5009, low_ports: true, sockets: 77, "
				   "priority: fixed, local_addresses: always}\n"
				   "audit: {uid: 6000, segment_bytes: 64MiB, segment_age: 2h}\n"
				   "local:\n"
				   "  guests:\n"
				   "    - {name: 'web-*', users: [1000, root]}\n"
				   "    - {name: db, users: [1001]}\n"
				   "control: {users: [1002]}\n";
	struct config config;
	struct fault fault;

	(void)state;
	assert_int_equal(parse(&config, &fault, text), 0);
	assert_true(config.sync && config.low_ports);
	assert_int_equal(config.uids_first, 5000);
	assert_int_equal(config.uids_count, 10);
	assert_int_equal(config.sockets, 77);
	assert_false(config.adapt_priority);
	assert_true(config.read_local);
	assert_int_equal(config.audit_uid, 6000);
	assert_int_equal(config.segment_bytes, 64 << 20);
	assert_int_equal(config.segment_age_s, 7200);
	assert_int_equal(config.grant_count, 2);
	assert_true(uid_list_has(&config.grants[0].users, 0));
	assert_true(uid_list_has(&config.readers, 1002));
	assert_false(uid_list_has(&config.readers, 1000));
	config_clear(&config);
}

struct bad {
	const char *text;
	const char *said;
};

static void config_says_where(void **state)
{
	static const struct bad bad[] = {
		{"durability: never\n", "c.yaml:1:13: crash or sync"},
		{"engine:\n  colour: red\n", "c.yaml:2:3: unknown key 'colour'"},
		{"engine:\n  sockets: 0\n", "c.yaml:2:12: a number from 1 to"},
		{"engine: {sockets: -1}\n", "c.yaml:1:19:"},
		{"engine: {low_ports: yes}\n", "true or false"},
		{"engine: {priority: -7}\n", "adaptive or fixed"},
		{"engine: {local_addresses: never}\n", "always or on_demand"},
		{"engine: {uids: 5-4}\n", "a range of user ids"},
		{"engine: {uids: 0-4}\n", "a range of user ids"},
		{"engine: {uids: 5}\n", "a range of user ids"},
		{"engine: {uids: 1-4294967295}\n", "a range of user ids"},
		{"engine: 7\n", "keys with values"},
		{"audit: {segment_bytes: 5}\n", "bytes were expected"},
		{"audit: {segment_bytes: 5XB}\n", "bytes were expected"},
		{"audit: {segment_age: 5}\n", "a time was expected"},
		{"audit: {segment_age: 99999999999999999999d}\n", "a time was expected"},
		{"audit: {uid: 2000000001}\n", "lies in engine.uids"},
		{"local: {guests: [{name: a}]}\n", "both name and users"},
		{"local: {guests: [{name: '', users: [1]}]}\n", "a guest's name"},
		{"local: {guests: [{name: 'a[', users: [1]}]}\n", "a guest's name"},
		{"local: {guests: {name: a}}\n", "a list was expected"},
		{"local: {guests: [{name: a, users: [no-such-user-here]}]}\n", "no such user"},
		{"local: {guests: [{name: a, users: 7}]}\n", "a list of users"},
		{"control: {users: [[1]]}\n", "a user's name or number"},
		{"durability: crash\ndurability: sync\n", "c.yaml:2:1:"},
		{"durability: &a crash\n", "c.yaml:1:"},
		{"durability: [\n", "c.yaml:"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct config config;
		struct fault fault;

		assert_int_equal(parse(&config, &fault, bad[i].text), -EINVAL);
		if (!strstr(fault.text, bad[i].said))
			fail_msg("%s: said '%s'", bad[i].text, fault.text);
	}
}

static void grants_say_who_may(void **state)
{
	static const char text[] = "local: {guests: [{name: 'web-*', users: [1000]}, "
				   "{name: db, users: [1001, 1000]}]}\n";
	struct config config;
	struct fault fault;

	(void)state;
	assert_int_equal(parse(&config, &fault, text), 0);
	assert_true(config_permits_guest(&config, 0, "anything", &fault));
	assert_true(config_permits_guest(&config, geteuid(), "anything", &fault));
	assert_true(config_permits_guest(&config, 1000, "web-7", &fault));
	assert_true(config_permits_guest(&config, 1000, "db", &fault));
	assert_true(config_permits_guest(&config, 1001, "db", &fault));
	assert_false(config_permits_guest(&config, 1001, "web-7", &fault));
	assert_non_null(strstr(fault.text, "1001"));
	assert_non_null(strstr(fault.text, "web-7"));
	assert_false(config_permits_guest(&config, 1000, "web", &fault));
	config_clear(&config);
}

static void config_files_are_checked(void **state)
{
	char path[] = "/tmp/pvcalls-config-XXXXXX";
	struct config config;
	struct fault fault;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0 && write(fd, "durability: sync\n", 17) == 17);
	assert_int_equal(config_load(&config, path, true, &fault), 0);
	assert_true(config.sync);
	config_clear(&config);
	assert_int_equal(fchmod(fd, 0666), 0);
	assert_int_equal(config_load(&config, path, true, &fault), -EINVAL);
	assert_non_null(strstr(fault.text, "writable by others"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(config_load(&config, path, true, &fault), -ENOENT);
	assert_int_equal(config_load(&config, path, false, &fault), 0);
	assert_int_equal(config_load(&config, "/dev/null", true, &fault), -EINVAL);
	close(fd);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(config_has_defaults),      cmocka_unit_test(config_reads_all),
		cmocka_unit_test(config_says_where),        cmocka_unit_test(grants_say_who_may),
		cmocka_unit_test(config_files_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
