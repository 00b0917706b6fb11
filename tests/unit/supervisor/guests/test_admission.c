/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may come as a guest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_engine.h"
#include "guest_world.h"
#include "supervisor/guests/admission.h"

static void names_of_guests(void **state)
{
	char name[70];

	(void)state;
	assert_true(admission_name_is_valid("a"));
	assert_true(admission_name_is_valid("9.Web_-1"));
	assert_false(admission_name_is_valid(""));
	assert_false(admission_name_is_valid("-a"));
	assert_false(admission_name_is_valid(".a"));
	assert_false(admission_name_is_valid("_a"));
	assert_false(admission_name_is_valid("a b"));
	assert_false(admission_name_is_valid("a/b"));
	assert_false(admission_name_is_valid("a\n"));
	assert_false(admission_name_is_valid("a\033[2J"));
	assert_false(admission_name_is_valid("\xc3\xa4"));
	memset(name, 'x', sizeof(name));
	name[63] = '\0';
	assert_true(admission_name_is_valid(name));
	name[63] = 'x';
	name[64] = '\0';
	assert_false(admission_name_is_valid(name));
}

static void who_may_attach(void **state)
{
	struct guest_world *world = *state;
	struct fault fault = {.text = ""};
	void *context = world->events.context;

	assert_true(world->events.may_attach(context, 0, "web-1", &fault));
	assert_false(world->events.may_attach(context, 0, "", &fault));
	assert_false(world->events.may_attach(context, 0, "../x", &fault));
	assert_non_null(strstr(fault.text, "not a guest's name"));
	assert_false(world->events.may_attach(context, geteuid() + 1000, "web-1", &fault));
	assert_non_null(strstr(fault.text, "pvcallsd.yaml"));
	guest_world_add(world, &world->fake, "web-1");
	assert_false(world->events.may_attach(context, 0, "web-1", &fault));
	assert_non_null(strstr(fault.text, "attached already"));
	for (int i = 0; i < 100; i++)
		assert_false(world->events.may_attach(context, 0, "web-1", &fault));
	assert_int_equal(world->guests.refused, 104);
	assert_true(fake_auditd_events(AUDIT_EVENT_GUEST_REFUSED) <= 10);
	guest_world_remove_device(world, &world->fake);
	assert_true(world->events.may_attach(context, 0, "web-1", &fault));
	guest_world_await_no_engines(world);
}

static void a_backlog_lets_nobody_in(void **state)
{
	struct guest_world *world = *state;
	struct fault fault = {.text = ""};
	void *context = world->events.context;

	fake_auditd_backlog(65);
	assert_false(world->events.may_attach(context, 0, "web-1", &fault));
	assert_non_null(strstr(fault.text, "wait to be stored"));
	fake_auditd_backlog(64);
	assert_true(world->events.may_attach(context, 0, "web-1", &fault));
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_of_guests),
		cmocka_unit_test_setup_teardown(who_may_attach, guest_world_setup,
						guest_world_teardown),
		cmocka_unit_test_setup_teardown(a_backlog_lets_nobody_in, guest_world_setup,
						guest_world_teardown),
	};

	if (fake_engine_is_asked(argc, argv))
		return fake_engine_main(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
