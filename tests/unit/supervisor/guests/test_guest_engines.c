/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What becomes of a guest when its engine crashes, hangs, or is asked something. */
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
#include "supervisor/children/engine_questions.h"

static void a_crash_costs_its_guest_only(void **state)
{
	struct guest_world *world = *state;
	struct fake_device good;
	struct fake_device *fake = &world->fake;

	guest_world_add(world, &good, "good");
	guest_world_frontend(world, &good, XENBUS_INITIALISED);
	guest_world_await(world, &good, "n24");
	guest_world_add(world, fake, "crash-1");
	guest_world_frontend(world, fake, XENBUS_INITIALISED);
	guest_world_await(world, fake, "n256");
	assert_true(fake->dropped);
	assert_int_equal(fake_auditd_events(AUDIT_EVENT_ENGINE_CRASHED), 1);
	assert_non_null(strstr(fake_auditd_text(AUDIT_EVENT_ENGINE_CRASHED), "signal 9"));
	assert_int_equal(fake_auditd_queues(), 1);
	guest_world_remove_device(world, fake);
	guest_world_turn_for(world, 700 * NS_PER_MS);
	assert_string_equal(good.written, "n24");
	guest_world_remove_device(world, &good);
	guest_world_await_no_engines(world);
}

#define ASSERTION "an assertion failed: ring.c:7: in ring_take(): ring->size > 0"

/* A failed assertion is told by name, and otherwise a crash like any other. */
static void a_failed_assertion_is_recorded(void **state)
{
	struct guest_world *world = *state;
	struct fake_device *fake = &world->fake;

	guest_world_add(world, fake, "assert-1");
	guest_world_frontend(world, fake, XENBUS_INITIALISED);
	guest_world_await(world, fake, "n2456");
	assert_int_equal(fake_auditd_events(AUDIT_EVENT_ENGINE_CRASHED), 1);
	assert_non_null(strstr(fake_auditd_text(AUDIT_EVENT_ENGINE_CRASHED), ASSERTION));
	assert_non_null(strstr(fake_auditd_text(AUDIT_EVENT_ENGINE_CRASHED), "signal 6"));
	guest_world_remove_device(world, fake);
	guest_world_await_no_engines(world);
	assert_non_null(strstr(fake_auditd_text(AUDIT_EVENT_GUEST_DETACHED), "taken away"));
}

/* Rings that outlive an engine are taken over by another. */
static void a_failed_assertion_is_survived(void **state)
{
	struct guest_world *world = *state;
	struct fake_device *fake = &world->fake;

	guest_world_add(world, fake, "assert-1");
	fake->device.lasting = true;
	guest_world_frontend(world, fake, XENBUS_INITIALISED);
	guest_world_await(world, fake, "n244");
	assert_int_equal(fake_auditd_events(AUDIT_EVENT_ENGINE_CRASHED), 1);
	assert_non_null(strstr(fake_auditd_text(AUDIT_EVENT_ENGINE_CRASHED), ASSERTION));
	assert_non_null(strstr(fake_auditd_text(AUDIT_EVENT_GUEST_DETACHED), ASSERTION));
	assert_int_equal(fake_auditd_events(AUDIT_EVENT_GUEST_ATTACHED), 2);
	assert_false(fake->dropped);
	guest_world_remove_device(world, fake);
	guest_world_await_no_engines(world);
}

static void one_that_hangs_is_killed(void **state)
{
	struct guest_world *world = *state;
	struct fake_device *fake = &world->fake;
	uint64_t begin_ns;

	guest_world_add(world, fake, "hang-1");
	guest_world_frontend(world, fake, XENBUS_INITIALISED);
	guest_world_await(world, fake, "n24");
	begin_ns = clock_monotonic_ns();
	guest_world_await(world, fake, "n2456");
	assert_true(clock_monotonic_ns() - begin_ns > NS_PER_S);
	assert_non_null(strstr(fake_auditd_text(AUDIT_EVENT_ENGINE_CRASHED), "did not answer"));
	guest_world_remove_device(world, fake);
	guest_world_await_no_engines(world);
}

static void one_that_breaks_rules_is_cut_off(void **state)
{
	struct guest_world *world = *state;
	struct fake_device *fake = &world->fake;

	guest_world_add(world, fake, "broken-1");
	guest_world_frontend(world, fake, XENBUS_INITIALISED);
	guest_world_await(world, fake, "n2456");
	assert_string_equal(fake->why, "index out of range");
	assert_string_equal(fake_auditd_text(AUDIT_EVENT_GUEST_CUT_OFF), "index out of range");
	guest_world_remove_device(world, fake);
	guest_world_await_no_engines(world);
	assert_int_equal(fake_auditd_events(AUDIT_EVENT_ENGINE_CRASHED), 0);
}

static void one_that_does_not_end_is_killed(void **state)
{
	struct guest_world *world = *state;
	struct fake_device *fake = &world->fake;

	guest_world_add(world, fake, "stuck-1");
	guest_world_frontend(world, fake, XENBUS_INITIALISED);
	guest_world_await(world, fake, "n24");
	guest_world_remove_device(world, fake);
	guest_world_await_no_engines(world);
	assert_non_null(strstr(fake_auditd_text(AUDIT_EVENT_ENGINE_CRASHED), "did not end"));
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

static struct heard ask(struct guest_world *world, struct fake_device *fake,
			enum engine_message_kind kind, uint64_t number)
{
	struct guest *guest = fake->device.owner;
	struct heard heard = {0};

	assert_int_equal(engine_questions_ask(guest->engine, kind, 0, number, 300 * NS_PER_MS,
					      answered, &heard),
			 0);
	while (!heard.calls)
		loop_turn(world->loop, NS_PER_S);
	return heard;
}

static void questions_are_answered(void **state)
{
	struct guest_world *world = *state;
	struct fake_device *fake = &world->fake;
	struct fake_device mute;
	struct heard heard;

	guest_world_add(world, fake, "web-1");
	guest_world_add(world, &mute, "mute-1");
	guest_world_frontend(world, fake, XENBUS_INITIALISED);
	guest_world_frontend(world, &mute, XENBUS_INITIALISED);
	guest_world_await(world, fake, "n24");
	guest_world_await(world, &mute, "n24");
	heard = ask(world, fake, ENGINE_MESSAGE_STATUS, 0);
	assert_int_equal(heard.error, 0);
	assert_string_equal(heard.text, "calls 1\ndenied 2\n");
	assert_int_equal(ask(world, fake, ENGINE_MESSAGE_KILL, 1).error, 0);
	assert_int_equal(ask(world, fake, ENGINE_MESSAGE_KILL, 2).error, -ENOENT);
	assert_int_equal(ask(world, &mute, ENGINE_MESSAGE_STATUS, 0).error, -ETIMEDOUT);
	assert_int_equal(ask(world, &mute, ENGINE_MESSAGE_KILL, 1).error, 0);
	guest_world_remove_device(world, fake);
	guest_world_remove_device(world, &mute);
	guest_world_await_no_engines(world);
}

static void questions_end_with_the_engine(void **state)
{
	struct guest_world *world = *state;
	struct fake_device *fake = &world->fake;
	struct heard heard = {0};
	struct guest *guest;

	guest_world_add(world, fake, "mute-1");
	guest_world_frontend(world, fake, XENBUS_INITIALISED);
	guest_world_await(world, fake, "n24");
	guest = fake->device.owner;
	for (unsigned int i = 0; i < ENGINE_QUESTIONS; i++)
		assert_int_equal(engine_questions_ask(guest->engine, ENGINE_MESSAGE_STATUS, 0, 0,
						      10 * NS_PER_S, answered, &heard),
				 0);
	assert_int_equal(engine_questions_ask(guest->engine, ENGINE_MESSAGE_STATUS, 0, 0,
					      10 * NS_PER_S, answered, &heard),
			 -EBUSY);
	guest_drop(guest, AUDIT_CLOSE_OPERATOR, "told so");
	assert_true(fake->dropped);
	guest_world_await_no_engines(world);
	assert_int_equal(heard.calls, ENGINE_QUESTIONS);
	assert_int_equal(heard.error, -EPIPE);
	guest_world_remove_device(world, fake);
}

static void an_idle_daemon_has_no_timers(void **state)
{
	struct guest_world *world = *state;
	struct fake_device *fake = &world->fake;

	guest_world_add(world, fake, "web-1");
	guest_world_frontend(world, fake, XENBUS_INITIALISED);
	guest_world_await(world, fake, "n24");
	guest_world_remove_device(world, fake);
	guest_world_await_no_engines(world);
	guest_world_turn_for(world, 600 * NS_PER_MS); /* the watchdog looks once more */
	assert_int_equal(world->engines.watchdog.heap_slot, 0);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_crash_costs_its_guest_only, guest_world_setup,
						guest_world_teardown),
		cmocka_unit_test_setup_teardown(a_failed_assertion_is_recorded, guest_world_setup,
						guest_world_teardown),
		cmocka_unit_test_setup_teardown(a_failed_assertion_is_survived, guest_world_setup,
						guest_world_teardown),
		cmocka_unit_test_setup_teardown(one_that_hangs_is_killed, guest_world_setup,
						guest_world_teardown),
		cmocka_unit_test_setup_teardown(one_that_breaks_rules_is_cut_off, guest_world_setup,
						guest_world_teardown),
		cmocka_unit_test_setup_teardown(one_that_does_not_end_is_killed, guest_world_setup,
						guest_world_teardown),
		cmocka_unit_test_setup_teardown(questions_are_answered, guest_world_setup,
						guest_world_teardown),
		cmocka_unit_test_setup_teardown(questions_end_with_the_engine, guest_world_setup,
						guest_world_teardown),
		cmocka_unit_test_setup_teardown(an_idle_daemon_has_no_timers, guest_world_setup,
						guest_world_teardown),
	};

	if (fake_engine_is_asked(argc, argv))
		return fake_engine_main(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
