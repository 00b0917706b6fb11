/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices of Xen guests as they come, change, go and are replaced in xenstore. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "store_world.h"
#include "transport/xen_devices.h"
#include "transport/xen_store_state.h"

#define LOOK_MS  10 /* a device is looked at once in this time */
#define QUIET_MS 80 /* longer than any look that is due */

static void front_state(const char *value)
{
	fake_device_front(GUEST, 0, "state", value);
}

static const char *node(const struct xen_snapshot *snapshot, const char *key)
{
	size_t i;

	for (i = 0; i < snapshot->node_count; i++)
		if (strcmp(snapshot->nodes[i].key, key) == 0)
			return snapshot->nodes[i].value;
	return "";
}

/* --- coming --- */

static void assert_is_new_guest(const struct xen_snapshot *snapshot)
{
	assert_int_equal(snapshot->id.domid, GUEST);
	assert_int_equal(snapshot->id.devid, 0);
	assert_true(snapshot->present);
	assert_true(snapshot->online);
	assert_false(snapshot->renewed);
	assert_int_equal(snapshot->frontend, XENBUS_INITIALISING);
	assert_int_equal(snapshot->backend, XENBUS_INITIALISING);
	assert_int_equal(snapshot->guest.domid, GUEST);
	assert_string_equal(snapshot->guest.name, "guest-7");
	assert_string_equal(snapshot->guest.uuid, FAKE_UUID);
	assert_int_equal(snapshot->node_count, 0);
}

static void test_guest_that_booted_before_the_daemon_is_found(void **state)
{
	struct xen_snapshot snapshot;
	struct xen_store *store = NULL;

	(void)state;
	fake_store_reset();
	fake_device_add(GUEST, 0);
	assert_int_equal(xen_store_open(&store, NULL), 0);
	assert_true(store_take(store, &snapshot));
	assert_is_new_guest(&snapshot);
	assert_true(store_is_quiet(store, QUIET_MS));
	assert_int_equal(fake_store_watches(fake_front_path(GUEST, 0, "state")), 1);
	xen_store_close(store);
	assert_int_equal(fake_store_watches(fake_front_path(GUEST, 0, "state")), 0);
}

static void test_guest_that_boots_after_the_daemon_is_found(void **state)
{
	struct xen_snapshot snapshot;

	assert_true(store_is_quiet(*state, QUIET_MS));
	fake_device_add(GUEST, 0);
	TAKE_UNTIL(*state, &snapshot, snapshot.present && snapshot.online && snapshot.backend);
	assert_is_new_guest(&snapshot);
}

static void test_device_of_a_domain_that_is_introduced_later_is_found(void **state)
{
	struct xen_snapshot snapshot;

	fake_device_add(GUEST, 0);
	TAKE_UNTIL(*state, &snapshot, snapshot.present);
	fake_store_release(GUEST);
	TAKE_UNTIL(*state, &snapshot, !snapshot.present);
	assert_true(store_is_quiet(*state, QUIET_MS));
	fake_store_introduce(GUEST);
	TAKE_UNTIL(*state, &snapshot, snapshot.present);
	assert_is_new_guest(&snapshot);
}

/* --- changing --- */

static void test_frontend_is_seen_with_the_ring_it_offers(void **state)
{
	struct xen_snapshot snapshot;

	fake_device_front(GUEST, 0, "version", "1");
	fake_device_front(GUEST, 0, "ring-ref", "8");
	fake_device_front(GUEST, 0, "port", "15");
	fake_device_front(GUEST, 0, "feature-names", "12345678901234567890123456789012"); /* long */
	front_state("3");
	TAKE_UNTIL(*state, &snapshot, snapshot.frontend == XENBUS_INITIALISED);
	assert_int_equal(snapshot.node_count, 3);
	assert_string_equal(node(&snapshot, "version"), "1");
	assert_string_equal(node(&snapshot, "ring-ref"), "8");
	assert_string_equal(node(&snapshot, "port"), "15");
	front_state("4");
	TAKE_UNTIL(*state, &snapshot, snapshot.frontend == XENBUS_CONNECTED);
	assert_string_equal(node(&snapshot, "port"), "15");
	front_state("5");
	TAKE_UNTIL(*state, &snapshot, snapshot.frontend == XENBUS_CLOSING);
	assert_int_equal(snapshot.node_count, 0);
}

static void test_ring_that_changes_without_the_state_is_seen(void **state)
{
	struct xen_snapshot snapshot;

	fake_device_front(GUEST, 0, "ring-ref", "8");
	front_state("3");
	TAKE_UNTIL(*state, &snapshot, snapshot.frontend == XENBUS_INITIALISED);
	fake_device_front(GUEST, 0, "ring-ref", "9");
	front_state("3");
	TAKE_UNTIL(*state, &snapshot, strcmp(node(&snapshot, "ring-ref"), "9") == 0);
}

static unsigned looks(void)
{
	return fake_store_reads(fake_front_path(GUEST, 0, "state"));
}

/* How often a device may have been looked at since then. */
static unsigned looks_since(uint64_t begin_ns)
{
	return (unsigned)((clock_monotonic_ns() - begin_ns) / NS_PER_MS) / LOOK_MS + 2;
}

static void test_storm_of_states_costs_few_looks_and_the_last_one_counts(void **state)
{
	const uint64_t begin_ns = clock_monotonic_ns();
	const unsigned before = looks();
	struct xen_snapshot snapshot;
	int i;

	for (i = 0; i < 10000; i++)
		front_state(i % 2 ? "1" : "5");
	front_state("6");
	TAKE_UNTIL(*state, &snapshot, snapshot.frontend == XENBUS_CLOSED);
	assert_in_range(looks() - before, 1, looks_since(begin_ns));
	assert_true(store_is_quiet(*state, QUIET_MS));
}

static void test_looks_at_one_device_keep_their_distance(void **state)
{
	const uint64_t begin_ns = clock_monotonic_ns();
	const unsigned before = looks();
	struct xen_snapshot snapshot;
	int i;

	/* Changes that are far enough apart to wake the thread each time. */
	for (i = 0; i < 60; i++) {
		front_state(i % 2 ? "1" : "5");
		store_sleep(1);
	}
	front_state("6");
	TAKE_UNTIL(*state, &snapshot, snapshot.frontend == XENBUS_CLOSED);
	assert_in_range(looks() - before, 2, looks_since(begin_ns));
}

static void test_what_is_no_state_is_unknown(void **state)
{
	static const char *const bad[] = {"9", "-1", "+3", "3 ", " 3", "three", "", "4294967299"};
	struct xen_snapshot snapshot;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		front_state(bad[i]);
		TAKE_UNTIL(*state, &snapshot, snapshot.frontend == XENBUS_UNKNOWN);
		assert_true(snapshot.present);
		front_state("1");
		TAKE_UNTIL(*state, &snapshot, snapshot.frontend == XENBUS_INITIALISING);
	}
	fake_store_set_bytes(fake_front_path(GUEST, 0, "state"), "3\0", 2);
	TAKE_UNTIL(*state, &snapshot, snapshot.frontend == XENBUS_UNKNOWN);
}

static void test_guest_that_removes_its_directory_keeps_its_device(void **state)
{
	struct xen_snapshot snapshot;

	fake_store_remove("/local/domain/7/device/pvcalls/0");
	TAKE_UNTIL(*state, &snapshot, snapshot.frontend == XENBUS_UNKNOWN);
	assert_true(snapshot.present);
	front_state("1");
	TAKE_UNTIL(*state, &snapshot, snapshot.frontend == XENBUS_INITIALISING);
}

/* --- going --- */

static void test_toolstack_that_wants_the_device_gone_is_seen(void **state)
{
	struct xen_snapshot snapshot;

	fake_device_back(GUEST, 0, "online", "0");
	fake_device_back(GUEST, 0, "state", "5");
	TAKE_UNTIL(*state, &snapshot, !snapshot.online && snapshot.backend == XENBUS_CLOSING);
	assert_true(snapshot.present);
	fake_device_back(GUEST, 0, "online", "2");
	assert_true(store_is_quiet(*state, QUIET_MS)); /* no number of ours: not online */
}

static void test_directory_that_is_removed_ends_the_device(void **state)
{
	struct xen_snapshot snapshot;

	fake_device_remove(GUEST, 0);
	assert_true(store_take(*state, &snapshot));
	assert_false(snapshot.present);
	assert_int_equal(snapshot.id.domid, GUEST);
	assert_true(store_is_quiet(*state, QUIET_MS));
	assert_int_equal(fake_store_watches(fake_front_path(GUEST, 0, "state")), 0);
}

static void test_directories_above_that_are_removed_end_the_device(void **state)
{
	struct xen_snapshot snapshot;

	fake_store_remove(FAKE_BASE "/7");
	assert_true(store_take(*state, &snapshot));
	assert_false(snapshot.present);
	fake_device_add(GUEST, 0);
	TAKE_UNTIL(*state, &snapshot, snapshot.present);
	fake_store_remove(FAKE_BASE);
	TAKE_UNTIL(*state, &snapshot, !snapshot.present);
}

static void test_domain_that_ends_ends_its_device_only(void **state)
{
	struct xen_snapshot snapshot;

	fake_device_add(8, 0);
	TAKE_UNTIL(*state, &snapshot, snapshot.id.domid == 8 && snapshot.present);
	fake_store_release(GUEST);
	TAKE_UNTIL(*state, &snapshot, !snapshot.present);
	assert_int_equal(snapshot.id.domid, GUEST);
	assert_true(store_is_quiet(*state, QUIET_MS));
}

static void test_guest_that_lives_on_after_a_detach_can_have_another_device(void **state)
{
	struct xen_snapshot snapshot;
	int i;

	for (i = 0; i < 20; i++) {
		fake_device_remove(GUEST, 0);
		TAKE_UNTIL(*state, &snapshot, !snapshot.present);
		/* At once: within the pause between two looks at this device. */
		fake_device_add(GUEST, 0);
		TAKE_UNTIL(*state, &snapshot, snapshot.present);
		store_sleep(i % 2 ? 2 * LOOK_MS : 0);
	}
}

/* --- replaced --- */

/* Whether the thread has found the guest's device, and left news of it that nobody took. */
static bool is_found_anew(struct xen_store *store)
{
	const struct xen_entry *entry;
	bool is;

	pthread_mutex_lock(&store->lock);
	entry = xen_devices_find(store, (struct xen_device_id){.domid = GUEST});
	is = entry && entry->fresh && entry->snapshot.present &&
	     entry->snapshot.backend == XENBUS_INITIALISING;
	pthread_mutex_unlock(&store->lock);
	return is;
}

static void write_own_state(struct xen_store *store)
{
	struct xen_snapshot snapshot;

	assert_int_equal(store_write(store, GUEST, "state", "2"), 0);
	TAKE_UNTIL(store, &snapshot, snapshot.backend == XENBUS_INIT_WAIT);
	assert_false(snapshot.renewed);
}

static void test_device_in_the_place_of_another_is_told_from_it(void **state)
{
	struct xen_snapshot snapshot;

	write_own_state(*state);
	fake_device_remove(GUEST, 0);
	fake_device_add(GUEST, 0);
	EVENTUALLY(is_found_anew(*state));
	assert_true(store_take(*state, &snapshot));
	assert_true(snapshot.renewed);
	/* It is told once, also if another look finds nothing new. */
	front_state("1");
	assert_true(store_is_quiet(*state, QUIET_MS));
	front_state("3");
	TAKE_UNTIL(*state, &snapshot, snapshot.frontend == XENBUS_INITIALISED);
	assert_false(snapshot.renewed);
}

static void test_replacing_is_told_though_nothing_of_ours_was_written(void **state)
{
	struct xen_snapshot snapshot;

	fake_device_remove(GUEST, 0);
	EVENTUALLY(fake_store_watches(fake_front_path(GUEST, 0, "state")) == 0); /* seen as gone */
	fake_device_add(GUEST, 0);
	EVENTUALLY(is_found_anew(*state));
	assert_true(store_take(*state, &snapshot));
	assert_true(snapshot.renewed);
}

static void test_what_was_meant_for_the_first_is_not_written_into_the_second(void **state)
{
	struct xen_snapshot snapshot;

	write_own_state(*state);
	fake_device_remove(GUEST, 0);
	fake_device_add(GUEST, 0);
	EVENTUALLY(is_found_anew(*state)); /* the owner doesn't know yet */
	assert_int_equal(store_write(*state, GUEST, "state", "4"), 0);
	TAKE_UNTIL(*state, &snapshot, snapshot.renewed);
	assert_true(store_is_quiet(*state, QUIET_MS));
	assert_true(fake_store_is(fake_back_path(GUEST, 0, "state"), "1"));
	write_own_state(*state);
}

/* As fast as it can be: the write may be tried before or after a look at the new directory. */
static void replace_while_writing(struct xen_store *store)
{
	struct xen_snapshot snapshot;

	write_own_state(store);
	EVENTUALLY(!fake_store_is(fake_back_path(GUEST, 0, "state"), "1"));
	fake_device_remove(GUEST, 0);
	fake_device_add(GUEST, 0);
	assert_int_equal(store_write(store, GUEST, "state", "4"), 0);
	TAKE_UNTIL(store, &snapshot, snapshot.renewed);
	assert_true(fake_store_is(fake_back_path(GUEST, 0, "state"), "1"));
}

static void test_a_write_under_way_does_not_reach_the_second(void **state)
{
	int i;

	for (i = 0; i < 50; i++)
		replace_while_writing(*state);
}

static void test_what_met_no_device_makes_the_next_one_another(void **state)
{
	struct xen_snapshot snapshot;
	unsigned attempts = fake_store_attempts();

	/* The write is tried between the removal and a look that would see it, if all is quick. */
	front_state("6");
	TAKE_UNTIL(*state, &snapshot, snapshot.frontend == XENBUS_CLOSED);
	fake_device_remove(GUEST, 0);
	assert_int_equal(store_write(*state, GUEST, "state", "2"), 0);
	EVENTUALLY(fake_store_attempts() > attempts ||
		   fake_store_watches(fake_front_path(GUEST, 0, "state")) == 0);
	fake_device_add(GUEST, 0);
	EVENTUALLY(is_found_anew(*state));
	assert_true(store_take(*state, &snapshot));
	assert_true(snapshot.renewed);
}

/* --- forgotten --- */

static unsigned count_entries(struct xen_store *store)
{
	const struct xen_entry *entry;
	unsigned count = 0;

	pthread_mutex_lock(&store->lock);
	for (entry = store->entries; entry; entry = entry->next)
		count++;
	pthread_mutex_unlock(&store->lock);
	return count;
}

static void test_directories_that_hold_no_device_are_forgotten(void **state)
{
	uint32_t i;

	for (i = 100; i < 200; i++)
		fake_device_back(i, 0, "state", "1"); /* no frontend, no domain */
	assert_true(store_is_quiet(*state, QUIET_MS));
	for (i = 100; i < 200; i++)
		fake_device_remove(i, 0);
	EVENTUALLY(count_entries(*state) == 1);
	assert_true(store_is_quiet(*state, 0));
}

static void test_device_that_was_taken_as_gone_is_forgotten(void **state)
{
	struct xen_snapshot snapshot;

	fake_device_remove(GUEST, 0);
	TAKE_UNTIL(*state, &snapshot, !snapshot.present);
	EVENTUALLY(count_entries(*state) == 0);
}

#define EMPTY(name) cmocka_unit_test_setup_teardown(name, store_begin_empty, store_end)
#define WITH(name)  cmocka_unit_test_setup_teardown(name, store_begin_with_guest, store_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_guest_that_booted_before_the_daemon_is_found),
		EMPTY(test_guest_that_boots_after_the_daemon_is_found),
		EMPTY(test_device_of_a_domain_that_is_introduced_later_is_found),
		WITH(test_frontend_is_seen_with_the_ring_it_offers),
		WITH(test_ring_that_changes_without_the_state_is_seen),
		WITH(test_storm_of_states_costs_few_looks_and_the_last_one_counts),
		WITH(test_looks_at_one_device_keep_their_distance),
		WITH(test_what_is_no_state_is_unknown),
		WITH(test_guest_that_removes_its_directory_keeps_its_device),
		WITH(test_toolstack_that_wants_the_device_gone_is_seen),
		WITH(test_directory_that_is_removed_ends_the_device),
		WITH(test_directories_above_that_are_removed_end_the_device),
		WITH(test_domain_that_ends_ends_its_device_only),
		WITH(test_guest_that_lives_on_after_a_detach_can_have_another_device),
		WITH(test_device_in_the_place_of_another_is_told_from_it),
		WITH(test_replacing_is_told_though_nothing_of_ours_was_written),
		WITH(test_what_was_meant_for_the_first_is_not_written_into_the_second),
		WITH(test_a_write_under_way_does_not_reach_the_second),
		WITH(test_what_met_no_device_makes_the_next_one_another),
		WITH(test_directories_that_hold_no_device_are_forgotten),
		WITH(test_device_that_was_taken_as_gone_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
