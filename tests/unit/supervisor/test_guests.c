/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guests from their device to their end, with real processes as engines: this program, called
 * "pvcalls-engine", is one.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fakes.h"
#include "supervisor/guests.h"
#include "supervisor/reload.h"

struct world {
	struct loop *loop;
	struct log log;
	struct config config;
	struct policies policies;
	struct engines engines;
	struct guests guests;
	struct device_events events;
	struct fake_device fake;
};

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	static char self[512];
	struct fault fault;

	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	fake_writer_forget();
	world->loop = loop_create();
	log_init(&world->log, "test", LOG_LEVEL_ERROR);
	world->log.fd = -1;
	assert_int_equal(config_parse(&world->config, "-", "", 0, &fault), 0);
	world->config.uids_count = 3;
	world->policies.loop = world->loop;
	world->engines = (struct engines){
		.loop = world->loop,
		.log = &world->log,
		.config = &world->config,
		.program = self,
		.plugin_dir = "/nowhere",
		.log_fd = -1,
	};
	assert_int_equal(engines_open(&world->engines), 0);
	world->guests = (struct guests){
		.loop = world->loop,
		.log = &world->log,
		.engines = &world->engines,
		.config = &world->config,
		.policies = &world->policies,
	};
	guests_events(&world->guests, &world->events);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	guests_free(&world->guests);
	engines_close(&world->engines);
	config_clear(&world->config);
	loop_destroy(world->loop);
	while (waitpid(-1, NULL, 0) > 0)
		;
	free(world);
	return 0;
}

static void turn_for(struct world *world, uint64_t ns)
{
	uint64_t end_ns = clock_monotonic_ns() + ns;
	uint64_t now_ns;

	while ((now_ns = clock_monotonic_ns()) < end_ns)
		loop_turn(world->loop, end_ns - now_ns);
}

/* Turns until the device was written so, for at most 10 s. */
static void await(struct world *world, struct fake_device *fake, const char *written)
{
	uint64_t end_ns = clock_monotonic_ns() + 10 * NS_PER_S;

	while (strcmp(fake->written, written) != 0) {
		if (clock_monotonic_ns() > end_ns)
			fail_msg("written '%s', expected '%s'", fake->written, written);
		loop_turn(world->loop, 10 * NS_PER_MS);
	}
}

static void await_no_engines(struct world *world)
{
	uint64_t end_ns = clock_monotonic_ns() + 10 * NS_PER_S;

	while (world->engines.list) {
		assert_true(clock_monotonic_ns() < end_ns);
		loop_turn(world->loop, 10 * NS_PER_MS);
	}
	assert_int_equal(fake_writer_queues(), 0);
}

static void add(struct world *world, struct fake_device *fake, const char *name)
{
	fake_device_init(fake, name);
	world->events.added(world->events.context, &fake->device);
}

static void frontend(struct world *world, struct fake_device *fake, enum xenbus_state state)
{
	fake->device.frontend = state;
	world->events.changed(world->events.context, &fake->device);
}

static void remove_device(struct world *world, struct fake_device *fake)
{
	world->events.removed(world->events.context, &fake->device);
	assert_null(fake->device.owner);
}

static void the_whole_life(void **state)
{
	struct world *world = *state;
	struct fake_device *fake = &world->fake;

	add(world, fake, "web-1");
	assert_string_equal(fake->written, "nnnnnnn2");
	assert_int_equal(fake->published, 8); /* one transaction */
	frontend(world, fake, XENBUS_INITIALISED);
	await(world, fake, "nnnnnnn24");
	assert_int_equal(fake_writer_events(AUDIT_EVENT_GUEST_ATTACHED), 1);
	frontend(world, fake, XENBUS_CONNECTED);
	frontend(world, fake, XENBUS_CLOSING);
	await(world, fake, "nnnnnnn245");
	assert_int_equal(fake_writer_events(AUDIT_EVENT_GUEST_DETACHED), 1);
	frontend(world, fake, XENBUS_CLOSED);
	assert_string_equal(fake->written, "nnnnnnn2456");
	await_no_engines(world);
	frontend(world, fake, XENBUS_INITIALISING);
	await(world, fake, "nnnnnnn2456nnnnnnn2");
	frontend(world, fake, XENBUS_INITIALISED);
	await(world, fake, "nnnnnnn2456nnnnnnn24");
	remove_device(world, fake);
	await_no_engines(world);
	assert_int_equal(fake_writer_events(AUDIT_EVENT_GUEST_DETACHED), 2);
	assert_int_equal(fake_writer_events(AUDIT_EVENT_ENGINE_CRASHED), 0);
	assert_int_equal(world->guests.count, 0);
	assert_false(fake->dropped);
}

static void a_frontend_that_restarts_at_once(void **state)
{
	struct world *world = *state;
	struct fake_device *fake = &world->fake;

	add(world, fake, "web-1");
	frontend(world, fake, XENBUS_INITIALISED);
	await(world, fake, "nnnnnnn24");
	/* It went away and came back, and all we see is that it is at the beginning. */
	frontend(world, fake, XENBUS_INITIALISING);
	await(world, fake, "nnnnnnn2456nnnnnnn2");
	remove_device(world, fake);
	await_no_engines(world);
}

/* A burst of restarts is served at once; beyond it each costs the guest a pause. */
static void restarts_are_paced(void **state)
{
	struct world *world = *state;
	struct fake_device *fake = &world->fake;
	uint64_t begin_ns = clock_monotonic_ns();
	uint64_t burst_ns = UINT64_MAX;

	add(world, fake, "web-1");
	for (uint32_t i = 0; i < GUEST_STARTS_BURST + 3; i++) {
		if (i == GUEST_STARTS_BURST)
			burst_ns = clock_monotonic_ns() - begin_ns;
		fake->written[0] = '\0';
		frontend(world, fake, XENBUS_CLOSED);
		await(world, fake, "56");
		await_no_engines(world);
		frontend(world, fake, XENBUS_INITIALISING);
		await(world, fake, "56nnnnnnn2");
	}
	assert_true(burst_ns < GUEST_STARTS_BURST * GUEST_STARTS_NS);
	assert_true(clock_monotonic_ns() - begin_ns >= GUEST_STARTS_NS);
	remove_device(world, fake);
	await_no_engines(world);
}

static void offline_ends_it(void **state)
{
	struct world *world = *state;
	struct fake_device *fake = &world->fake;

	add(world, fake, "web-1");
	frontend(world, fake, XENBUS_INITIALISED);
	await(world, fake, "nnnnnnn24");
	fake->device.online = false;
	world->events.changed(world->events.context, &fake->device);
	await(world, fake, "nnnnnnn2456");
	frontend(world, fake, XENBUS_INITIALISING);
	turn_for(world, 100 * NS_PER_MS);
	assert_string_equal(fake->written, "nnnnnnn2456");
	remove_device(world, fake);
	await_no_engines(world);
}

static void nonsense_is_counted(void **state)
{
	struct world *world = *state;
	struct fake_device *fake = &world->fake;

	add(world, fake, "web-1");
	frontend(world, fake, XENBUS_RECONFIGURING);
	frontend(world, fake, XENBUS_UNKNOWN);
	assert_int_equal(world->guests.ignored, 2);
	assert_string_equal(fake->written, "nnnnnnn2");
	frontend(world, fake, XENBUS_INITIALISED);
	await(world, fake, "nnnnnnn24");
	remove_device(world, fake);
	await_no_engines(world);
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
		{"feature-shutdown", "-1", "feature-shutdown"},
		{"ring-ref", "7", "no such ring"},
	};
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fake_device *fake = &world->fake;

		fake_writer_forget();
		add(world, fake, "web-1");
		fake_device_set(fake, cases[i].key, cases[i].value);
		frontend(world, fake, XENBUS_INITIALISED);
		await(world, fake, "nnnnnnn256");
		assert_true(fake->dropped);
		assert_non_null(strstr(fake->why, cases[i].said));
		assert_int_equal(fake_writer_events(AUDIT_EVENT_GUEST_CUT_OFF), 1);
		remove_device(world, fake);
		await_no_engines(world);
	}
}

static void a_crash_costs_its_guest_only(void **state)
{
	struct world *world = *state;
	struct fake_device good;
	struct fake_device *fake = &world->fake;

	add(world, &good, "good");
	frontend(world, &good, XENBUS_INITIALISED);
	await(world, &good, "nnnnnnn24");
	add(world, fake, "crash-1");
	frontend(world, fake, XENBUS_INITIALISED);
	await(world, fake, "nnnnnnn256");
	assert_true(fake->dropped);
	assert_int_equal(fake_writer_events(AUDIT_EVENT_ENGINE_CRASHED), 1);
	assert_non_null(strstr(fake_writer_text(AUDIT_EVENT_ENGINE_CRASHED), "signal 9"));
	assert_int_equal(fake_writer_queues(), 1);
	remove_device(world, fake);
	turn_for(world, 700 * NS_PER_MS);
	assert_string_equal(good.written, "nnnnnnn24");
	remove_device(world, &good);
	await_no_engines(world);
}

static void one_that_hangs_is_killed(void **state)
{
	struct world *world = *state;
	struct fake_device *fake = &world->fake;
	uint64_t begin_ns;

	add(world, fake, "hang-1");
	frontend(world, fake, XENBUS_INITIALISED);
	await(world, fake, "nnnnnnn24");
	begin_ns = clock_monotonic_ns();
	await(world, fake, "nnnnnnn2456");
	assert_true(clock_monotonic_ns() - begin_ns > NS_PER_S);
	assert_non_null(strstr(fake_writer_text(AUDIT_EVENT_ENGINE_CRASHED), "did not answer"));
	remove_device(world, fake);
	await_no_engines(world);
}

static void one_that_breaks_rules_is_cut_off(void **state)
{
	struct world *world = *state;
	struct fake_device *fake = &world->fake;

	add(world, fake, "broken-1");
	frontend(world, fake, XENBUS_INITIALISED);
	await(world, fake, "nnnnnnn2456");
	assert_string_equal(fake->why, "index out of range");
	assert_string_equal(fake_writer_text(AUDIT_EVENT_GUEST_CUT_OFF), "index out of range");
	remove_device(world, fake);
	await_no_engines(world);
	assert_int_equal(fake_writer_events(AUDIT_EVENT_ENGINE_CRASHED), 0);
}

static void one_that_does_not_end_is_killed(void **state)
{
	struct world *world = *state;
	struct fake_device *fake = &world->fake;

	add(world, fake, "stuck-1");
	frontend(world, fake, XENBUS_INITIALISED);
	await(world, fake, "nnnnnnn24");
	remove_device(world, fake);
	await_no_engines(world);
	assert_non_null(strstr(fake_writer_text(AUDIT_EVENT_ENGINE_CRASHED), "did not end"));
}

static void who_may_attach(void **state)
{
	struct world *world = *state;
	struct fault fault = {.text = ""};
	void *context = world->events.context;

	assert_true(world->events.may_attach(context, 0, "web-1", &fault));
	assert_false(world->events.may_attach(context, 0, "", &fault));
	assert_false(world->events.may_attach(context, 0, "../x", &fault));
	assert_non_null(strstr(fault.text, "not a guest's name"));
	assert_false(world->events.may_attach(context, geteuid() + 1000, "web-1", &fault));
	assert_non_null(strstr(fault.text, "pvcallsd.yaml"));
	add(world, &world->fake, "web-1");
	assert_false(world->events.may_attach(context, 0, "web-1", &fault));
	assert_non_null(strstr(fault.text, "attached already"));
	for (int i = 0; i < 100; i++)
		assert_false(world->events.may_attach(context, 0, "web-1", &fault));
	assert_int_equal(world->guests.refused, 104);
	assert_true(fake_writer_events(AUDIT_EVENT_GUEST_REFUSED) <= 10);
	remove_device(world, &world->fake);
	assert_true(world->events.may_attach(context, 0, "web-1", &fault));
	await_no_engines(world);
}

static void a_backlog_lets_nobody_in(void **state)
{
	struct world *world = *state;
	struct fault fault = {.text = ""};
	void *context = world->events.context;

	fake_writer_backlog(65);
	assert_false(world->events.may_attach(context, 0, "web-1", &fault));
	assert_non_null(strstr(fault.text, "wait to be stored"));
	fake_writer_backlog(64);
	assert_true(world->events.may_attach(context, 0, "web-1", &fault));
}

static void there_are_only_so_many_users(void **state)
{
	struct world *world = *state;
	struct fake_device fakes[4];

	for (int i = 0; i < 4; i++) {
		char name[16];

		snprintf(name, sizeof(name), "g%d", i);
		add(world, &fakes[i], name);
	}
	assert_false(fakes[2].dropped);
	assert_true(fakes[3].dropped);
	assert_non_null(strstr(fakes[3].why, "engine.uids"));
	for (int i = 0; i < 4; i++)
		remove_device(world, &fakes[i]);
	await_no_engines(world);
	add(world, &fakes[0], "g9");
	assert_false(fakes[0].dropped);
	remove_device(world, &fakes[0]);
	await_no_engines(world);
}

struct heard {
	int calls;
	int error;
	char text[64];
};

static void answered(void *owner, int error, const char *text)
{
	struct heard *heard = owner;

	heard->calls++;
	heard->error = error;
	snprintf(heard->text, sizeof(heard->text), "%s", text);
}

static struct heard ask(struct world *world, struct fake_device *fake,
			enum engine_message_kind kind, uint64_t number)
{
	struct guest *guest = fake->device.owner;
	struct heard heard = {0};

	assert_int_equal(
		engine_ask(guest->engine, kind, 0, number, 300 * NS_PER_MS, answered, &heard), 0);
	while (!heard.calls)
		loop_turn(world->loop, NS_PER_S);
	return heard;
}

static void questions_are_answered(void **state)
{
	struct world *world = *state;
	struct fake_device *fake = &world->fake;
	struct fake_device mute;
	struct heard heard;

	add(world, fake, "web-1");
	add(world, &mute, "mute-1");
	frontend(world, fake, XENBUS_INITIALISED);
	frontend(world, &mute, XENBUS_INITIALISED);
	await(world, fake, "nnnnnnn24");
	await(world, &mute, "nnnnnnn24");
	heard = ask(world, fake, ENGINE_MESSAGE_STATUS, 0);
	assert_int_equal(heard.error, 0);
	assert_string_equal(heard.text, "calls 1\ndenied 2\n");
	assert_int_equal(ask(world, fake, ENGINE_MESSAGE_KILL, 1).error, 0);
	assert_int_equal(ask(world, fake, ENGINE_MESSAGE_KILL, 2).error, -ENOENT);
	assert_int_equal(ask(world, &mute, ENGINE_MESSAGE_STATUS, 0).error, -ETIMEDOUT);
	assert_int_equal(ask(world, &mute, ENGINE_MESSAGE_KILL, 1).error, 0);
	remove_device(world, fake);
	remove_device(world, &mute);
	await_no_engines(world);
}

static void questions_end_with_the_engine(void **state)
{
	struct world *world = *state;
	struct fake_device *fake = &world->fake;
	struct heard heard = {0};
	struct guest *guest;

	add(world, fake, "mute-1");
	frontend(world, fake, XENBUS_INITIALISED);
	await(world, fake, "nnnnnnn24");
	guest = fake->device.owner;
	for (unsigned int i = 0; i < ENGINE_QUESTIONS; i++)
		assert_int_equal(engine_ask(guest->engine, ENGINE_MESSAGE_STATUS, 0, 0,
					    10 * NS_PER_S, answered, &heard),
				 0);
	assert_int_equal(engine_ask(guest->engine, ENGINE_MESSAGE_STATUS, 0, 0, 10 * NS_PER_S,
				    answered, &heard),
			 -EBUSY);
	guest_drop(guest, AUDIT_CLOSE_OPERATOR, "told so");
	assert_true(fake->dropped);
	await_no_engines(world);
	assert_int_equal(heard.calls, ENGINE_QUESTIONS);
	assert_int_equal(heard.error, -EPIPE);
	remove_device(world, fake);
}

static void found_by_name_domid_uuid(void **state)
{
	struct world *world = *state;
	struct fake_device *fake = &world->fake;
	struct fake_device other;
	char domid[16];

	add(world, fake, "web-1");
	snprintf(domid, sizeof(domid), "%u", fake->device.guest.domid);
	strcpy(fake->device.guest.uuid, "00000000-1111-2222-3333-444444444444");
	assert_ptr_equal(guests_find(&world->guests, "web-1"), fake->device.owner);
	assert_ptr_equal(guests_find(&world->guests, domid), fake->device.owner);
	assert_ptr_equal(guests_find(&world->guests, fake->device.guest.uuid), fake->device.owner);
	assert_null(guests_find(&world->guests, "web-2"));
	assert_null(guests_find(&world->guests, ""));
	/* A guest that is called like another's domid is itself. */
	add(world, &other, domid);
	assert_ptr_equal(guests_find(&world->guests, domid), other.device.owner);
	remove_device(world, fake);
	remove_device(world, &other);
	await_no_engines(world);
}

static void stopping_ends_all_and_writes_no_state(void **state)
{
	struct world *world = *state;
	struct fake_device *fake = &world->fake;
	struct fault fault;

	add(world, fake, "web-1");
	frontend(world, fake, XENBUS_INITIALISED);
	await(world, fake, "nnnnnnn24");
	guests_stop(&world->guests);
	await_no_engines(world);
	assert_string_equal(fake->written, "nnnnnnn24");
	assert_false(world->events.may_attach(world->events.context, 0, "web-2", &fault));
	assert_int_equal(fake_writer_events(AUDIT_EVENT_GUEST_DETACHED), 1);
	remove_device(world, fake);
}

static void an_idle_daemon_has_no_timers(void **state)
{
	struct world *world = *state;
	struct fake_device *fake = &world->fake;

	add(world, fake, "web-1");
	frontend(world, fake, XENBUS_INITIALISED);
	await(world, fake, "nnnnnnn24");
	remove_device(world, fake);
	await_no_engines(world);
	turn_for(world, 600 * NS_PER_MS); /* the watchdog looks once more */
	assert_int_equal(world->engines.watchdog.heap_slot, 0);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_whole_life, setup, teardown),
		cmocka_unit_test_setup_teardown(a_frontend_that_restarts_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(restarts_are_paced, setup, teardown),
		cmocka_unit_test_setup_teardown(offline_ends_it, setup, teardown),
		cmocka_unit_test_setup_teardown(nonsense_is_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_nodes_cut_off, setup, teardown),
		cmocka_unit_test_setup_teardown(a_crash_costs_its_guest_only, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_hangs_is_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_breaks_rules_is_cut_off, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_does_not_end_is_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(who_may_attach, setup, teardown),
		cmocka_unit_test_setup_teardown(a_backlog_lets_nobody_in, setup, teardown),
		cmocka_unit_test_setup_teardown(there_are_only_so_many_users, setup, teardown),
		cmocka_unit_test_setup_teardown(questions_are_answered, setup, teardown),
		cmocka_unit_test_setup_teardown(questions_end_with_the_engine, setup, teardown),
		cmocka_unit_test_setup_teardown(found_by_name_domid_uuid, setup, teardown),
		cmocka_unit_test_setup_teardown(stopping_ends_all_and_writes_no_state, setup,
						teardown),
		cmocka_unit_test_setup_teardown(an_idle_daemon_has_no_timers, setup, teardown),
	};

	if (argc == 2 && strcmp(argv[0], "pvcalls-engine") == 0)
		return fake_engine_main(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
