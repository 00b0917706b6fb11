/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of device states, walked whole. What is expected is written down a second time, as
 * rules in words of the protocol and not as a table, so that a slip in one shows in the other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "supervisor/guests/device_states.h"

static bool engine_may_run(enum xenbus_state backend)
{
	return backend == XENBUS_INIT_WAIT || backend == XENBUS_CONNECTED;
}

static bool is_over(enum xenbus_state backend)
{
	return backend == XENBUS_CLOSING || backend == XENBUS_CLOSED;
}

static enum device_action leave(enum xenbus_state backend)
{
	if (engine_may_run(backend))
		return DEVICE_DETACH;
	return backend == XENBUS_CLOSED ? DEVICE_WAIT : DEVICE_CLOSE;
}

static enum device_action expect_starting(enum xenbus_state frontend, enum xenbus_state backend)
{
	if (backend == XENBUS_CLOSED)
		return DEVICE_PAUSE; /* it comes back */
	if (backend == XENBUS_CLOSING)
		return frontend == XENBUS_INITIALISING ? DEVICE_CLOSE : DEVICE_WAIT;
	if (backend == XENBUS_INIT_WAIT)
		return frontend == XENBUS_INITIALISING ? DEVICE_WAIT : DEVICE_ATTACH;
	if (backend == XENBUS_CONNECTED)
		return frontend == XENBUS_INITIALISING ? DEVICE_DETACH : DEVICE_WAIT;
	return DEVICE_PUBLISH;
}

static enum device_action expect(enum xenbus_state frontend, enum xenbus_state backend)
{
	switch (frontend) {
	case XENBUS_INITIALISING:
	case XENBUS_INITIALISED:
		return expect_starting(frontend, backend);
	case XENBUS_CONNECTED:
		return is_over(backend) ? DEVICE_WAIT : expect_starting(frontend, backend);
	case XENBUS_CLOSING:
		return is_over(backend) ? DEVICE_WAIT : DEVICE_DETACH;
	case XENBUS_CLOSED:
		return leave(backend);
	case XENBUS_UNKNOWN:
	case XENBUS_INIT_WAIT:
	case XENBUS_RECONFIGURING:
	case XENBUS_RECONFIGURED:
	case XENBUS_STATES:
		break;
	}
	return DEVICE_IGNORE;
}

static void every_combination(void **state)
{
	(void)state;
	for (int frontend = 0; frontend < XENBUS_STATES; frontend++) {
		for (int backend = 0; backend < XENBUS_STATES; backend++) {
			enum device_action action =
				device_action((enum xenbus_state)frontend,
					      (enum xenbus_state)backend, true, true);

			if (action !=
			    expect((enum xenbus_state)frontend, (enum xenbus_state)backend))
				fail_msg("frontend %d, backend %d: %d", frontend, backend, action);
		}
	}
}

static void offline_always_ends(void **state)
{
	(void)state;
	for (int frontend = 0; frontend < XENBUS_STATES; frontend++) {
		for (int backend = 0; backend < XENBUS_STATES; backend++)
			assert_int_equal(device_action((enum xenbus_state)frontend,
						       (enum xenbus_state)backend, false, true),
					 leave((enum xenbus_state)backend));
	}
}

/* Connected and served by nobody: taken over if the frontend is still there, closed otherwise. */
static void orphans(void **state)
{
	(void)state;
	for (int frontend = 0; frontend < XENBUS_STATES; frontend++) {
		enum xenbus_state there = (enum xenbus_state)frontend;
		enum device_action action = device_action(there, XENBUS_CONNECTED, true, false);

		if (there == XENBUS_INITIALISED || there == XENBUS_CONNECTED)
			assert_int_equal(action, DEVICE_TAKE_OVER);
		else
			assert_int_equal(action,
					 device_action(there, XENBUS_CONNECTED, true, true));
		assert_int_equal(device_action(there, XENBUS_CONNECTED, false, false),
				 DEVICE_DETACH);
	}
}

static void states_that_do_not_exist(void **state)
{
	static const int beyond[] = {XENBUS_STATES, 17, INT32_MAX};

	(void)state;
	for (int i = 0; i < 3; i++) {
		enum xenbus_state none = (enum xenbus_state)beyond[i];

		assert_int_equal(device_action(none, XENBUS_CONNECTED, true, true), DEVICE_IGNORE);
		assert_int_equal(device_action(XENBUS_INITIALISING, none, true, true),
				 DEVICE_PUBLISH);
		assert_string_equal(xenbus_state_name(none), "unknown");
	}
}

/* Where the backend is after an action. */
static enum xenbus_state after(enum device_action action, enum xenbus_state backend)
{
	switch (action) {
	case DEVICE_PUBLISH:
	case DEVICE_PAUSE:
		return XENBUS_INIT_WAIT;
	case DEVICE_ATTACH:
	case DEVICE_TAKE_OVER:
		return XENBUS_CONNECTED;
	case DEVICE_DETACH:
		return XENBUS_CLOSING;
	case DEVICE_CLOSE:
		return XENBUS_CLOSED;
	case DEVICE_WAIT:
	case DEVICE_IGNORE:
		break;
	}
	return backend;
}

/* From anywhere, with a frontend that stays where it is, the actions come to an end. */
static void no_circles(void **state)
{
	(void)state;
	for (int frontend = 0; frontend < XENBUS_STATES; frontend++) {
		for (int start = 0; start < XENBUS_STATES; start++) {
			enum xenbus_state backend = (enum xenbus_state)start;
			enum xenbus_state before = XENBUS_STATES;
			int steps = 0;

			for (; backend != before; steps++) {
				assert_true(steps < 8);
				before = backend;
				backend = after(device_action((enum xenbus_state)frontend, backend,
							      true, true),
						backend);
			}
		}
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_combination), cmocka_unit_test(offline_always_ends),
		cmocka_unit_test(orphans),           cmocka_unit_test(states_that_do_not_exist),
		cmocka_unit_test(no_circles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
