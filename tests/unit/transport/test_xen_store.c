/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The thread that speaks with xenstored: what is written, and a xenstored that goes, comes, hangs.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "store_world.h"
#include "transport/xen_store_state.h"

#define QUIET_MS 80
#define BEAT_MS  500 /* xenstored is asked so often, and has so long at the end */

static bool state_is(const char *value)
{
	return fake_store_is(fake_back_path(GUEST, 0, "state"), value);
}

static int write_state(struct xen_store *store, const char *value)
{
	return store_write(store, GUEST, "state", value);
}

/* --- starting --- */

static void assert_no_store(int error)
{
	struct fault fault = {.text = ""};
	struct xen_store *store = NULL;

	assert_int_equal(xen_store_open(&store, &fault), error);
	assert_null(store);
	assert_non_null(strstr(fault.text, "xenstored can't be reached"));
	assert_non_null(strstr(fault.text, "is it running"));
}

static void test_start_without_xenstored_fails_and_asks_whether_it_runs(void **state)
{
	(void)state;
	fake_store_reset();
	fake_store_lose(true);
	assert_no_store(-ECONNREFUSED);
}

static void test_start_with_a_domain_number_that_is_none_fails(void **state)
{
	static const char *const bad[] = {"", "x", "-1", "32752", "4294967296"};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fake_store_reset();
		fake_store_set("domid", bad[i]);
		assert_no_store(-EINVAL);
		assert_int_equal(fake_store_watches(FAKE_BASE), 0);
	}
}

static void test_driver_domain_serves_its_own_directory(void **state)
{
	static const char dir[] = "/local/domain/5/backend/pvcalls/7/0";
	struct xen_snapshot snapshot;
	struct xen_store *store = NULL;
	char path[XEN_PATH_MAX];

	(void)state;
	fake_store_reset();
	fake_device_add(8, 0); /* of another backend's domain */
	fake_store_set("domid", "5");
	snprintf(path, sizeof(path), "%s/frontend", dir);
	fake_store_set(path, "/local/domain/7/device/pvcalls/0");
	fake_store_introduce(GUEST);
	assert_int_equal(xen_store_open(&store, NULL), 0);
	TAKE_UNTIL(store, &snapshot, snapshot.present);
	assert_int_equal(snapshot.id.domid, GUEST);
	assert_int_equal(write_state(store, "2"), 0);
	snprintf(path, sizeof(path), "%s/state", dir);
	EVENTUALLY(fake_store_is(path, "2"));
	assert_int_equal(fake_store_watches(FAKE_BASE), 0);
	xen_store_close(store);
}

/* --- writing --- */

static void test_nodes_left_together_are_written_together(void **state)
{
	const struct device_node nodes[] = {{"versions", "1"}, {"state", "2"}};
	const struct xen_device_id id = {.domid = GUEST};

	assert_int_equal(xen_store_write(*state, id, nodes, 2), 0);
	EVENTUALLY(state_is("2"));
	assert_true(fake_store_is(fake_back_path(GUEST, 0, "versions"), "1"));
	assert_int_equal(fake_store_commits(), 1);
}

static void test_write_for_a_device_that_is_not_there_is_dropped(void **state)
{
	struct xen_snapshot snapshot;

	assert_int_equal(store_write(*state, 8, "state", "2"), 0);
	fake_device_remove(GUEST, 0);
	TAKE_UNTIL(*state, &snapshot, !snapshot.present);
	assert_int_equal(write_state(*state, "2"), 0);
	assert_true(store_is_quiet(*state, QUIET_MS));
	assert_int_equal(fake_store_commits(), 0);
	assert_false(fake_store_is(fake_back_path(GUEST, 0, "state"), NULL));
}

static void test_device_whose_state_we_never_wrote_is_not_taken_for_another(void **state)
{
	assert_int_equal(store_write(*state, GUEST, "versions", "1"), 0);
	EVENTUALLY(fake_store_is(fake_back_path(GUEST, 0, "versions"), "1"));
	assert_true(store_is_quiet(*state, QUIET_MS));
	assert_int_equal(write_state(*state, "2"), 0);
	EVENTUALLY(state_is("2"));
}

static void test_write_that_is_refused_is_tried_again_but_not_at_once(void **state)
{
	struct xen_store *store = *state;

	fake_store_refuse_writes(EACCES);
	assert_int_equal(write_state(store, "2"), 0);
	store_sleep(BEAT_MS / 2);
	assert_in_range(fake_store_attempts(), 1, BEAT_MS / 20);
	fake_store_refuse_writes(0);
	EVENTUALLY(state_is("2"));
	assert_true(xen_store_reachable(store)); /* it was no fault of the connection */
}

static void test_newer_value_wins_over_one_that_could_not_be_written(void **state)
{
	fake_store_refuse_writes(EACCES);
	assert_int_equal(write_state(*state, "2"), 0);
	EVENTUALLY(fake_store_attempts() > 0);
	assert_int_equal(write_state(*state, "4"), 0);
	fake_store_refuse_writes(0);
	EVENTUALLY(state_is("4"));
	assert_int_equal(fake_store_commits(), 1);
}

static void test_write_that_met_too_many_others_is_written_later(void **state)
{
	fake_store_conflict(20); /* more than one write takes */
	assert_int_equal(write_state(*state, "2"), 0);
	EVENTUALLY(state_is("2"));
	assert_int_equal(fake_store_attempts(), 21);
}

/* --- lost and back --- */

static void lose(struct xen_store *store, bool keep)
{
	fake_store_lose(keep);
	EVENTUALLY(!xen_store_reachable(store));
}

static void come_back(struct xen_store *store)
{
	fake_store_come_back();
	EVENTUALLY(xen_store_reachable(store));
}

static void test_loss_and_return_are_told_and_everything_is_watched_again(void **state)
{
	struct xen_snapshot snapshot;
	int i;

	assert_true(xen_store_reachable(*state));
	lose(*state, true);
	assert_int_equal(fake_store_watches(FAKE_BASE), 0);
	fake_device_front(GUEST, 0, "state", "6");
	fake_device_add(8, 0);
	assert_true(store_is_quiet(*state, QUIET_MS));
	come_back(*state);
	/* In whichever order. */
	for (i = 0; i < 2; i++) {
		assert_true(store_take(*state, &snapshot));
		assert_int_equal(snapshot.frontend,
				 snapshot.id.domid == 8 ? XENBUS_INITIALISING : XENBUS_CLOSED);
	}
	assert_true(store_is_quiet(*state, QUIET_MS));
	assert_int_equal(fake_store_watches(FAKE_BASE), 1);
	assert_int_equal(fake_store_watches("@releaseDomain"), 1);
	assert_int_equal(fake_store_watches("@introduceDomain"), 1);
	assert_int_equal(fake_store_watches(fake_front_path(GUEST, 0, "state")), 1);
	fake_device_front(GUEST, 0, "state", "1");
	TAKE_UNTIL(*state, &snapshot, snapshot.frontend == XENBUS_INITIALISING);
	fake_store_release(8);
	TAKE_UNTIL(*state, &snapshot, snapshot.id.domid == 8 && !snapshot.present);
}

static void test_owner_is_woken_to_hear_of_the_loss_and_the_return(void **state)
{
	struct pollfd fd = {.fd = xen_store_fd(*state), .events = POLLIN};
	struct xen_snapshot snapshot;

	assert_false(xen_store_take(*state, &snapshot));
	fake_store_lose(true);
	assert_int_equal(poll(&fd, 1, SOON_MS), 1);
	assert_false(xen_store_reachable(*state));
	assert_false(xen_store_take(*state, &snapshot));
	assert_int_equal(poll(&fd, 1, QUIET_MS), 0); /* told once */
	fake_store_come_back();
	assert_int_equal(poll(&fd, 1, SOON_MS), 1);
	assert_true(xen_store_reachable(*state));
	assert_int_equal(fake_store_connections(), 2);
}

static void test_writes_left_meanwhile_are_written_when_it_is_back(void **state)
{
	lose(*state, true);
	assert_int_equal(write_state(*state, "2"), 0);
	assert_int_equal(write_state(*state, "4"), 0);
	assert_int_equal(store_write(*state, GUEST, "versions", "1"), 0);
	store_sleep(QUIET_MS);
	assert_true(state_is("1"));
	come_back(*state);
	EVENTUALLY(state_is("4"));
	assert_true(fake_store_is(fake_back_path(GUEST, 0, "versions"), "1"));
	assert_int_equal(fake_store_commits(), 1);
}

static void test_more_writes_than_may_wait_are_refused_whole(void **state)
{
	const struct device_node two[] = {{"key-0", "changed"}, {"one-more", "1"}};
	const struct xen_device_id id = {.domid = GUEST};
	char key[DEVICE_KEY_MAX];
	unsigned i;

	lose(*state, true);
	for (i = 0; i < XEN_WRITES_MAX; i++) {
		snprintf(key, sizeof(key), "key-%u", i);
		assert_int_equal(store_write(*state, GUEST, key, "1"), 0);
	}
	assert_int_equal(write_state(*state, "2"), -E2BIG);
	assert_int_equal(xen_store_write(*state, id, two, 2), -E2BIG);
	assert_int_equal(store_write(*state, GUEST, "key-1", "2"), 0); /* it waits already */
	come_back(*state);
	EVENTUALLY(fake_store_is(fake_back_path(GUEST, 0, "key-15"), "1"));
	assert_true(fake_store_is(fake_back_path(GUEST, 0, "key-0"), "1"));
	assert_true(fake_store_is(fake_back_path(GUEST, 0, "key-1"), "2"));
	assert_false(fake_store_is(fake_back_path(GUEST, 0, "one-more"), NULL));
	assert_true(state_is("1"));
	assert_int_equal(write_state(*state, "2"), 0);
	EVENTUALLY(state_is("2"));
}

static void test_device_removed_meanwhile_is_gone_when_it_is_back(void **state)
{
	struct xen_snapshot snapshot;

	lose(*state, true);
	fake_store_kill(GUEST);
	fake_store_release(GUEST);
	fake_device_remove(GUEST, 0);
	come_back(*state);
	TAKE_UNTIL(*state, &snapshot, !snapshot.present);
	assert_int_equal(snapshot.id.domid, GUEST);
}

static void test_device_that_an_emptied_xenstored_forgot_lives_as_long_as_its_domain(void **state)
{
	struct xen_snapshot snapshot;

	fake_store_introduce(GUEST + 1); /* which the hypervisor would name if asked carelessly */
	lose(*state, false);
	come_back(*state);
	assert_true(store_is_quiet(*state, BEAT_MS + BEAT_MS / 2));
	fake_store_kill(GUEST);
	TAKE_UNTIL(*state, &snapshot, !snapshot.present);
	assert_int_equal(snapshot.id.domid, GUEST);
}

static void test_device_that_comes_back_into_an_emptied_xenstored_is_the_same(void **state)
{
	struct xen_snapshot snapshot;

	fake_device_front(GUEST, 0, "state", "4");
	TAKE_UNTIL(*state, &snapshot, snapshot.frontend == XENBUS_CONNECTED);
	assert_int_equal(write_state(*state, "4"), 0);
	TAKE_UNTIL(*state, &snapshot, snapshot.backend == XENBUS_CONNECTED);
	lose(*state, false);
	come_back(*state);
	store_sleep(QUIET_MS);
	/* Somebody restores what was there, the domain first. */
	fake_store_introduce(GUEST);
	fake_device_front(GUEST, 0, "state", "4");
	fake_device_back(GUEST, 0, "state", "4");
	fake_device_back(GUEST, 0, "online", "1");
	fake_device_back(GUEST, 0, "frontend", "/local/domain/7/device/pvcalls/0");
	fake_device_front(GUEST, 0, "state", "5");
	TAKE_UNTIL(*state, &snapshot, snapshot.frontend == XENBUS_CLOSING);
	assert_false(snapshot.renewed);
	/* From here on it is known again: what is removed now is gone. */
	fake_device_remove(GUEST, 0);
	TAKE_UNTIL(*state, &snapshot, !snapshot.present);
}

static void test_lost_device_is_gone_if_the_hypervisor_can_not_be_asked(void **state)
{
	struct xen_snapshot snapshot;

	fake_store_no_hypervisor();
	lose(*state, false);
	come_back(*state);
	TAKE_UNTIL(*state, &snapshot, !snapshot.present);
}

/* --- the end --- */

static uint64_t close_ms(struct xen_store *store)
{
	uint64_t begin_ns = clock_monotonic_ns();

	xen_store_close(store);
	return (clock_monotonic_ns() - begin_ns) / NS_PER_MS;
}

static void test_what_was_left_last_is_written_before_the_end(void **state)
{
	assert_int_equal(write_state(*state, "6"), 0);
	xen_store_close(*state);
	assert_true(state_is("6"));
}

static void test_end_without_xenstored_is_not_waited_for(void **state)
{
	lose(*state, true);
	assert_int_equal(write_state(*state, "6"), 0);
	assert_in_range(close_ms(*state), 0, BEAT_MS / 2);
}

/* Leaves its thread behind, as the daemon does: the process ends with it. */
static void test_end_beside_a_xenstored_that_hangs_comes_in_time(void **state)
{
	uint64_t ms;

	fake_store_hang();
	assert_int_equal(write_state(*state, "6"), 0);
	ms = close_ms(*state);
	assert_in_range(ms, BEAT_MS - 50, 3 * BEAT_MS);
}

#define WITH(name) cmocka_unit_test_setup_teardown(name, store_begin_with_guest, store_end)
#define LAST(name) cmocka_unit_test_setup(name, store_begin_with_guest)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start_without_xenstored_fails_and_asks_whether_it_runs),
		cmocka_unit_test(test_start_with_a_domain_number_that_is_none_fails),
		cmocka_unit_test(test_driver_domain_serves_its_own_directory),
		WITH(test_nodes_left_together_are_written_together),
		WITH(test_write_for_a_device_that_is_not_there_is_dropped),
		WITH(test_device_whose_state_we_never_wrote_is_not_taken_for_another),
		WITH(test_write_that_is_refused_is_tried_again_but_not_at_once),
		WITH(test_newer_value_wins_over_one_that_could_not_be_written),
		WITH(test_write_that_met_too_many_others_is_written_later),
		WITH(test_loss_and_return_are_told_and_everything_is_watched_again),
		WITH(test_owner_is_woken_to_hear_of_the_loss_and_the_return),
		WITH(test_writes_left_meanwhile_are_written_when_it_is_back),
		WITH(test_more_writes_than_may_wait_are_refused_whole),
		WITH(test_device_removed_meanwhile_is_gone_when_it_is_back),
		WITH(test_device_that_an_emptied_xenstored_forgot_lives_as_long_as_its_domain),
		WITH(test_device_that_comes_back_into_an_emptied_xenstored_is_the_same),
		WITH(test_lost_device_is_gone_if_the_hypervisor_can_not_be_asked),
		LAST(test_what_was_left_last_is_written_before_the_end),
		LAST(test_end_without_xenstored_is_not_waited_for),
		LAST(test_end_beside_a_xenstored_that_hangs_comes_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
