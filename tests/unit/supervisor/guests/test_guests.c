/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guests from their device to their end. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fake_engine.h"
#include "guest_world.h"

static void the_whole_life(void **state)
{
	struct guest_world *world = *state;
	struct fake_device *fake = &world->fake;

	guest_world_add(world, fake, "web-1");
	assert_string_equal(fake->written, "n2");
	guest_world_frontend(world, fake, XENBUS_INITIALISED);
	guest_world_await(world, fake, "n24");
	assert_int_equal(fake_auditd_events(AUDIT_EVENT_GUEST_ATTACHED), 1);
	guest_world_frontend(world, fake, XENBUS_CONNECTED);
	guest_world_frontend(world, fake, XENBUS_CLOSING);
	guest_world_await(world, fake, "n245");
	assert_int_equal(fake_auditd_events(AUDIT_EVENT_GUEST_DETACHED), 1);
	guest_world_frontend(world, fake, XENBUS_CLOSED);
	assert_string_equal(fake->written, "n2456");
	guest_world_await_no_engines(world);
	guest_world_frontend(world, fake, XENBUS_INITIALISING);
	guest_world_await(world, fake, "n2456n2");
	guest_world_frontend(world, fake, XENBUS_INITIALISED);
	guest_world_await(world, fake, "n2456n24");
	guest_world_remove_device(world, fake);
	guest_world_await_no_engines(world);
	assert_int_equal(fake_auditd_events(AUDIT_EVENT_GUEST_DETACHED), 2);
	assert_int_equal(fake_auditd_events(AUDIT_EVENT_ENGINE_CRASHED), 0);
	assert_int_equal(world->guests.count, 0);
	assert_false(fake->dropped);
}

static void a_frontend_that_restarts_at_once(void **state)
{
	struct guest_world *world = *state;
	struct fake_device *fake = &world->fake;

	guest_world_add(world, fake, "web-1");
	guest_world_frontend(world, fake, XENBUS_INITIALISED);
	guest_world_await(world, fake, "n24");
	/* It went away and came back, and all we see is that it is at the beginning. */
	guest_world_frontend(world, fake, XENBUS_INITIALISING);
	guest_world_await(world, fake, "n2456n2");
	guest_world_remove_device(world, fake);
	guest_world_await_no_engines(world);
}

/* A burst of restarts is served at once; beyond it each costs the guest a pause. */
static void restarts_are_paced(void **state)
{
	struct guest_world *world = *state;
	struct fake_device *fake = &world->fake;
	uint64_t begin_ns = clock_monotonic_ns();
	uint64_t burst_ns = UINT64_MAX;

	guest_world_add(world, fake, "web-1");
	for (uint32_t i = 0; i < GUEST_STARTS_BURST + 3; i++) {
		if (i == GUEST_STARTS_BURST)
			burst_ns = clock_monotonic_ns() - begin_ns;
		fake->written[0] = '\0';
		guest_world_frontend(world, fake, XENBUS_CLOSED);
		guest_world_await(world, fake, "56");
		guest_world_await_no_engines(world);
		guest_world_frontend(world, fake, XENBUS_INITIALISING);
		guest_world_await(world, fake, "56n2");
	}
	assert_true(burst_ns < GUEST_STARTS_BURST * GUEST_STARTS_NS);
	assert_true(clock_monotonic_ns() - begin_ns >= GUEST_STARTS_NS);
	guest_world_remove_device(world, fake);
	guest_world_await_no_engines(world);
}

static void offline_ends_it(void **state)
{
	struct guest_world *world = *state;
	struct fake_device *fake = &world->fake;

	guest_world_add(world, fake, "web-1");
	guest_world_frontend(world, fake, XENBUS_INITIALISED);
	guest_world_await(world, fake, "n24");
	fake->device.online = false;
	world->events.changed(world->events.context, &fake->device);
	guest_world_await(world, fake, "n2456");
	guest_world_frontend(world, fake, XENBUS_INITIALISING);
	guest_world_turn_for(world, 100 * NS_PER_MS);
	assert_string_equal(fake->written, "n2456");
	guest_world_remove_device(world, fake);
	guest_world_await_no_engines(world);
}

static void nonsense_is_counted(void **state)
{
	struct guest_world *world = *state;
	struct fake_device *fake = &world->fake;

	guest_world_add(world, fake, "web-1");
	guest_world_frontend(world, fake, XENBUS_RECONFIGURING);
	guest_world_frontend(world, fake, XENBUS_UNKNOWN);
	assert_int_equal(world->guests.ignored, 2);
	assert_string_equal(fake->written, "n2");
	guest_world_frontend(world, fake, XENBUS_INITIALISED);
	guest_world_await(world, fake, "n24");
	guest_world_remove_device(world, fake);
	guest_world_await_no_engines(world);
}

struct node_case {
	const char *key;
	const char *value;
	const char *said;
};

static void bad_nodes_cut_off(void **state)
{
	static const struct node_case cases[] = {
		{"ring-ref", "", "ring-ref"},
		{"ring-ref", "-1", "ring-ref"},
		{"ring-ref", "8 ", "ring-ref"},
		{"ring-ref", "4294967296", "ring-ref"},
		{"port", "", "port"},
		{"port", "0x9", "port"},
		{"version", "2", "version"},
		{"feature-names", "yes", "feature-names"},
		{"feature-names-on-demand", "1 ", "feature-names-on-demand"},
		{"feature-shutdown", "-1", "feature-shutdown"},
		{"ring-ref", "7", "no such ring"},
	};
	struct guest_world *world = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_device *fake = &world->fake;

		fake_auditd_forget();
		guest_world_add(world, fake, "web-1");
		fake_device_set(fake, cases[i].key, cases[i].value);
		guest_world_frontend(world, fake, XENBUS_INITIALISED);
		guest_world_await(world, fake, "n256");
		assert_true(fake->dropped);
		assert_non_null(strstr(fake->why, cases[i].said));
		assert_int_equal(fake_auditd_events(AUDIT_EVENT_GUEST_CUT_OFF), 1);
		guest_world_remove_device(world, fake);
		guest_world_await_no_engines(world);
	}
}

static void there_are_only_so_many_users(void **state)
{
	struct guest_world *world = *state;
	struct fake_device fakes[4];

	for (int i = 0; i < 4; i++) {
		char name[16];

		snprintf(name, sizeof(name), "g%d", i);
		guest_world_add(world, &fakes[i], name);
	}
	assert_false(fakes[2].dropped);
	assert_true(fakes[3].dropped);
	assert_non_null(strstr(fakes[3].why, "engine.uids"));
	for (int i = 0; i < 4; i++)
		guest_world_remove_device(world, &fakes[i]);
	guest_world_await_no_engines(world);
	guest_world_add(world, &fakes[0], "g9");
	assert_false(fakes[0].dropped);
	guest_world_remove_device(world, &fakes[0]);
	guest_world_await_no_engines(world);
}

static void found_by_name_domid_uuid(void **state)
{
	struct guest_world *world = *state;
	struct fake_device *fake = &world->fake;
	struct fake_device other;
	char domid[16];

	guest_world_add(world, fake, "web-1");
	snprintf(domid, sizeof(domid), "%u", fake->device.guest.domid);
	strcpy(fake->device.guest.uuid, "00000000-1111-2222-3333-444444444444");
	assert_ptr_equal(guests_find(&world->guests, "web-1"), fake->device.owner);
	assert_ptr_equal(guests_find(&world->guests, domid), fake->device.owner);
	assert_ptr_equal(guests_find(&world->guests, fake->device.guest.uuid), fake->device.owner);
	assert_null(guests_find(&world->guests, "web-2"));
	assert_null(guests_find(&world->guests, ""));
	/* A guest that is called like another's domid is itself. */
	guest_world_add(world, &other, domid);
	assert_ptr_equal(guests_find(&world->guests, domid), other.device.owner);
	guest_world_remove_device(world, fake);
	guest_world_remove_device(world, &other);
	guest_world_await_no_engines(world);
}

static void stopping_ends_all_and_writes_no_state(void **state)
{
	struct guest_world *world = *state;
	struct fake_device *fake = &world->fake;
	struct fault fault;

	guest_world_add(world, fake, "web-1");
	guest_world_frontend(world, fake, XENBUS_INITIALISED);
	guest_world_await(world, fake, "n24");
	guests_stop(&world->guests);
	guest_world_await_no_engines(world);
	assert_string_equal(fake->written, "n24");
	assert_false(world->events.may_attach(world->events.context, 0, "web-2", &fault));
	assert_int_equal(fake_auditd_events(AUDIT_EVENT_GUEST_DETACHED), 1);
	guest_world_remove_device(world, fake);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_whole_life, guest_world_setup,
						guest_world_teardown),
		cmocka_unit_test_setup_teardown(a_frontend_that_restarts_at_once, guest_world_setup,
						guest_world_teardown),
		cmocka_unit_test_setup_teardown(restarts_are_paced, guest_world_setup,
						guest_world_teardown),
		cmocka_unit_test_setup_teardown(offline_ends_it, guest_world_setup,
						guest_world_teardown),
		cmocka_unit_test_setup_teardown(nonsense_is_counted, guest_world_setup,
						guest_world_teardown),
		cmocka_unit_test_setup_teardown(bad_nodes_cut_off, guest_world_setup,
						guest_world_teardown),
		cmocka_unit_test_setup_teardown(there_are_only_so_many_users, guest_world_setup,
						guest_world_teardown),
		cmocka_unit_test_setup_teardown(found_by_name_domid_uuid, guest_world_setup,
						guest_world_teardown),
		cmocka_unit_test_setup_teardown(stopping_ends_all_and_writes_no_state,
						guest_world_setup, guest_world_teardown),
	};

	if (fake_engine_is_asked(argc, argv))
		return fake_engine_main(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
