/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a guest may not do through its nodes, and how many devices there may be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store_world.h"

#define QUIET_MS     80
#define DOMAINS_MAX  1024u /* looked at */
#define DEVICES_MAX  8u    /* of one domain */
#define DOMID_LAST   0x7fefu
#define OTHER_DOMAIN "/local/domain/8/device/pvcalls/0"

/* --- identity --- */

static void test_name_and_uuid_are_the_toolstacks_and_not_the_guests(void **state)
{
	struct xen_snapshot snapshot;

	fake_device_front(GUEST, 0, "name", "admin");
	fake_device_front(GUEST, 0, "vm", "/vm/00000000-0000-0000-0000-000000000000");
	fake_store_set("/local/domain/7/data/name", "admin");
	fake_device_front(GUEST, 0, "state", "3");
	TAKE_UNTIL(*state, &snapshot, snapshot.frontend == XENBUS_INITIALISED);
	assert_string_equal(snapshot.guest.name, "guest-7");
	assert_string_equal(snapshot.guest.uuid, FAKE_UUID);
	fake_store_set("/local/domain/7/name", "shop");
	fake_device_front(GUEST, 0, "state", "4");
	TAKE_UNTIL(*state, &snapshot, snapshot.frontend == XENBUS_CONNECTED);
	assert_string_equal(snapshot.guest.name, "shop");
	assert_int_equal(snapshot.guest.domid, GUEST);
}

/* The snapshot that follows once vm and name are these. */
static struct xen_snapshot look_with(struct xen_store *store, const char *name, const char *vm)
{
	static int turn;
	struct xen_snapshot snapshot;
	enum xenbus_state state = turn++ % 2 ? XENBUS_CLOSED : XENBUS_CLOSING;

	fake_store_set("/local/domain/7/name", name);
	fake_store_set("/local/domain/7/vm", vm);
	fake_device_front(GUEST, 0, "state", state == XENBUS_CLOSED ? "6" : "5");
	TAKE_UNTIL(store, &snapshot, snapshot.frontend == state);
	return snapshot;
}

static void test_identity_that_does_not_fit_is_empty(void **state)
{
	static const char *const bad[] = {"",
					  "/vm",
					  FAKE_UUID,
					  "/VM/" FAKE_UUID,
					  "vm/",
					  "/vmx/",
					  "/vm/" FAKE_UUID "-and-more"};
	struct xen_snapshot snapshot;
	char name[200];
	size_t i;

	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snapshot = look_with(*state, name, bad[i]);
		assert_string_equal(snapshot.guest.name, "");
		assert_string_equal(snapshot.guest.uuid, "");
		assert_true(snapshot.present);
	}
	snapshot = look_with(*state, "fits", "/vm/" FAKE_UUID);
	assert_string_equal(snapshot.guest.name, "fits");
	assert_string_equal(snapshot.guest.uuid, FAKE_UUID);
}

/* --- the frontend's place --- */

static void test_frontend_in_another_domain_is_not_followed(void **state)
{
	static const char *const bad[] = {OTHER_DOMAIN,
					  "/local/domain/77/device/pvcalls/0",
					  "/local/domain/7",
					  "local/domain/7/device/pvcalls/0",
					  "/local/domain/07/device/pvcalls/0",
					  "/vm/x",
					  "",
					  "device/pvcalls/0"};
	char path[sizeof(OTHER_DOMAIN) + 32];
	struct xen_snapshot snapshot;
	size_t i;

	fake_store_set(OTHER_DOMAIN "/state", "4");
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fake_device_add(GUEST, 0);
		TAKE_UNTIL(*state, &snapshot, snapshot.present);
		fake_device_back(GUEST, 0, "frontend", bad[i]);
		TAKE_UNTIL(*state, &snapshot, !snapshot.present);
		snprintf(path, sizeof(path), "%s/state", bad[i]);
		assert_int_equal(fake_store_watches(path), 0);
		assert_int_equal(fake_store_watches(fake_front_path(GUEST, 0, "state")), 0);
	}
	assert_int_equal(fake_store_reads(OTHER_DOMAIN "/state"), 0);
}

static void test_frontend_that_moves_within_its_domain_is_watched_there(void **state)
{
	struct xen_snapshot snapshot;

	fake_store_set("/local/domain/7/device/pvcalls/1/state", "6");
	fake_device_back(GUEST, 0, "frontend", "/local/domain/7/device/pvcalls/1");
	TAKE_UNTIL(*state, &snapshot, snapshot.frontend == XENBUS_CLOSED);
	assert_int_equal(fake_store_watches(fake_front_path(GUEST, 0, "state")), 0);
	assert_int_equal(fake_store_watches(fake_front_path(GUEST, 1, "state")), 1);
	fake_device_front(GUEST, 1, "state", "1");
	TAKE_UNTIL(*state, &snapshot, snapshot.frontend == XENBUS_INITIALISING);
}

static void test_path_that_is_too_long_is_refused(void **state)
{
	char path[300] = "/local/domain/7/";
	struct xen_snapshot snapshot;

	memset(path + strlen(path), 'd', sizeof(path) - strlen(path) - 1);
	path[sizeof(path) - 1] = '\0';
	fake_device_back(GUEST, 0, "frontend", path);
	/* The connection works, so this is the device's own fault. */
	TAKE_UNTIL(*state, &snapshot, !snapshot.present);
	fake_device_add(8, 0);
	TAKE_UNTIL(*state, &snapshot, snapshot.id.domid == 8 && snapshot.present);
	assert_true(xen_store_reachable(*state));
}

/* --- how many --- */

/* Takes what there is; returns how many devices are present. */
static unsigned count_devices(struct xen_store *store, unsigned expected)
{
	struct xen_snapshot snapshot;
	unsigned count = 0;

	while (count < expected && store_take(store, &snapshot))
		count += snapshot.present;
	return store_is_quiet(store, QUIET_MS) ? count : count + 1;
}

static void test_more_devices_of_a_domain_than_there_may_be_are_left_out(void **state)
{
	struct xen_snapshot snapshot;
	struct xen_store *store = NULL;
	uint32_t i;

	(void)state;
	fake_store_reset();
	for (i = 0; i < DEVICES_MAX + 5; i++)
		fake_device_add(GUEST, i);
	fake_device_add(9, 0);
	assert_int_equal(xen_store_open(&store, NULL), 0);
	assert_int_equal(count_devices(store, DEVICES_MAX + 1), DEVICES_MAX + 1);
	/* Those that were let in work. */
	fake_device_front(9, 0, "state", "6");
	TAKE_UNTIL(store, &snapshot, snapshot.id.domid == 9);
	assert_int_equal(snapshot.frontend, XENBUS_CLOSED);
	xen_store_close(store);
}

static void test_more_domains_than_there_may_be_are_left_out(void **state)
{
	struct xen_snapshot snapshot;
	struct xen_store *store = NULL;
	uint32_t i;

	(void)state;
	fake_store_reset();
	for (i = 1; i <= DOMAINS_MAX + 50; i++)
		fake_device_add(i, 0);
	assert_int_equal(xen_store_open(&store, NULL), 0);
	assert_int_equal(count_devices(store, DOMAINS_MAX), DOMAINS_MAX);
	fake_device_remove(GUEST, 0);
	assert_true(store_take(store, &snapshot));
	assert_false(snapshot.present);
	assert_int_equal(snapshot.id.domid, GUEST);
	xen_store_close(store);
}

static void test_numbers_that_no_domain_has_are_left_out(void **state)
{
	struct xen_snapshot snapshot;

	fake_store_set(FAKE_BASE "/32752/0/frontend", "/local/domain/32752/device/pvcalls/0");
	fake_store_set(FAKE_BASE "/4294967295/0/frontend", "/local/domain/4294967295/x");
	fake_store_set(FAKE_BASE "/seven/0/frontend", "/local/domain/7/device/pvcalls/0");
	assert_true(store_is_quiet(*state, QUIET_MS));
	assert_int_equal(fake_store_reads(FAKE_BASE "/32752/0/frontend"), 0);
	fake_device_add(DOMID_LAST, 4294967295u);
	TAKE_UNTIL(*state, &snapshot, snapshot.present);
	assert_int_equal(snapshot.id.domid, DOMID_LAST);
	assert_int_equal(snapshot.id.devid, 4294967295u);
}

#define EMPTY(name) cmocka_unit_test_setup_teardown(name, store_begin_empty, store_end)
#define WITH(name)  cmocka_unit_test_setup_teardown(name, store_begin_with_guest, store_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(test_name_and_uuid_are_the_toolstacks_and_not_the_guests),
		WITH(test_identity_that_does_not_fit_is_empty),
		EMPTY(test_frontend_in_another_domain_is_not_followed),
		WITH(test_frontend_that_moves_within_its_domain_is_watched_there),
		WITH(test_path_that_is_too_long_is_refused),
		cmocka_unit_test(test_more_devices_of_a_domain_than_there_may_be_are_left_out),
		cmocka_unit_test(test_more_domains_than_there_may_be_are_left_out),
		EMPTY(test_numbers_that_no_domain_has_are_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
