/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Xen transport's way through the states of its device, and which transport is chosen. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <pvcalls/frontend.h>

#include "fake_xen.h"
#include "transports/transport_choice.h"
#include "transports/xenbus.h"

#define SOON_MS 50

static const struct pvcalls_front_options xen_options = {
	.size = sizeof(xen_options), .timeout_ms = SOON_MS, .transport = PVCALLS_FRONT_XEN};

/* --- the choice --- */

static bool has_a_device(void)
{
	return true;
}

static bool has_no_device(void)
{
	return false;
}

static void test_the_choice(void **state)
{
	struct pvcalls_front_options options = {.size = sizeof(options)};

	(void)state;
	assert_int_equal(transport_choice_kind(&options, has_a_device), PVCALLS_FRONT_XEN);
	assert_int_equal(transport_choice_kind(&options, has_no_device), PVCALLS_FRONT_LOCAL);
	options.runtime_dir = "/run/somewhere";
	assert_int_equal(transport_choice_kind(&options, has_a_device), PVCALLS_FRONT_LOCAL);
	options.transport = PVCALLS_FRONT_XEN;
	assert_int_equal(transport_choice_kind(&options, has_no_device), PVCALLS_FRONT_XEN);
	options = (struct pvcalls_front_options){.transport = PVCALLS_FRONT_LOCAL};
	assert_int_equal(transport_choice_kind(&options, has_a_device), PVCALLS_FRONT_LOCAL);
}

static void make_file(const char *root, const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", root, name);
	file = fopen(path, "we");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void test_what_a_xen_domain_looks_like(void **state)
{
	char root[] = "/tmp/pvcalls-root-XXXXXX";
	char line[128];

	(void)state;
	assert_non_null(mkdtemp(root));
	snprintf(line, sizeof(line), "mkdir -p %s/sys/hypervisor %s/dev/xen", root, root);
	assert_int_equal(system(line), 0); /* NOLINT(cert-env33-c): a test's own directory */
	assert_false(transport_choice_is_xen(root));
	make_file(root, "sys/hypervisor/type", "xen\n");
	assert_false(transport_choice_is_xen(root));
	make_file(root, "dev/xen/xenbus", "");
	assert_true(transport_choice_is_xen(root));
	make_file(root, "sys/hypervisor/type", "kvm\n");
	assert_false(transport_choice_is_xen(root));
	snprintf(line, sizeof(line), "rm -r %s", root);
	assert_int_equal(system(line), 0); /* NOLINT(cert-env33-c): a test's own directory */
}

static void test_device_is_found(void **state)
{
	(void)state;
	fake_xen_reset("1", "2");
	assert_true(xenbus_has_device());
	fake_xen_remove();
	assert_false(xenbus_has_device());
	fake_xen.no_xenstore = true;
	assert_false(xenbus_has_device());
}

/* --- nodes --- */

static void test_bad_nodes_are_refused(void **state)
{
	struct xenbus xenbus;
	char why[PVCALLS_FRONT_WHY_MAX];

	(void)state;
	fake_xen_reset("1", "2");
	fake_xen_set(FAKE_DEVICE "/backend-id", "dom0");
	assert_true(xenbus_open(&xenbus, why) < 0);
	xenbus_close(&xenbus);
	fake_xen_remove();
	assert_int_equal(xenbus_open(&xenbus, why), -ENODEV);
	assert_non_null(strstr(why, "pvcalls=['']"));
	xenbus_close(&xenbus);
	fake_xen.no_xenstore = true;
	assert_int_equal(xenbus_open(&xenbus, why), -ENOENT);
	assert_non_null(strstr(why, "/dev/xen/xenbus"));
}

static void test_lines_are_written_together(void **state)
{
	struct xenbus xenbus;

	(void)state;
	fake_xen_reset("1", "2");
	assert_int_equal(xenbus_open(&xenbus, NULL), 0);
	fake_xen.conflicts = 5;
	assert_int_equal(xenbus_write(&xenbus, "version=1\nport=20\nstate=3\n"), 0);
	assert_int_equal(fake_xen.transactions, 1);
	assert_int_equal(fake_xen.plain, 0);
	assert_string_equal(fake_xen_node(FAKE_DEVICE "/port"), "20");
	assert_string_equal(fake_xen.said, "3");
	assert_int_equal(xenbus_write(&xenbus, "state=4\n"), 0);
	assert_int_equal(fake_xen.plain, 1);
	assert_int_equal(xenbus_write(&xenbus, "version=1\nnonsense\n"), -EINVAL);
	assert_int_equal(fake_xen.transactions, 1);
	fake_xen.conflicts = UINT32_MAX;
	assert_int_equal(xenbus_write(&xenbus, "version=1\nport=20\n"), -EAGAIN);
	xenbus_close(&xenbus);
}

static void test_backend_nodes_are_read(void **state)
{
	struct xenbus xenbus;
	char value[FRONT_VALUE_MAX];

	(void)state;
	fake_xen_reset("1", "2");
	assert_int_equal(xenbus_open(&xenbus, NULL), 0);
	assert_int_equal(xenbus_read(&xenbus, "max-page-order", value), 0);
	assert_string_equal(value, "4");
	assert_int_equal(xenbus_read(&xenbus, "feature-names", value), -ENOENT);
	fake_xen_set(FAKE_BACKEND "/versions", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16");
	assert_int_equal(xenbus_read(&xenbus, "versions", value), -ENOENT);
	fake_xen_set(FAKE_BACKEND "/state", "5");
	assert_int_equal(xenbus_refresh(&xenbus, NULL), 0);
	assert_int_equal(xenbus_read(&xenbus, "state", value), 0);
	assert_string_equal(value, "5");
	fake_xen_remove();
	assert_int_equal(xenbus_refresh(&xenbus, NULL), -ENETDOWN);
	/* Nothing of a device that was removed is written again. */
	xenbus.touched = true;
	xenbus_give_back(&xenbus);
	assert_null(fake_xen_node(FAKE_DEVICE "/state"));
	xenbus_close(&xenbus);
}

/* --- states --- */

static void test_device_is_made_ready(void **state)
{
	static const struct {
		const char *own;
		const char *backend;
		const char *said;
	} cases[] = {
		{"1", "2", ""},    /* as the toolstack made it */
		{"6", "6", "61"},  /* closed, as Linux' frontend leaves it */
		{"4", "4", "561"}, /* killed */
		{"3", "4", "561"}, /* killed while it connected */
		{"5", "4", "561"}, /* killed while it closed */
		{"4", "5", "561"}, /* killed, and the backend has closed */
		{"", "2", "1"},    /* nobody knows */
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct xenbus xenbus;

		fake_xen_reset(cases[i].own, cases[i].backend);
		assert_int_equal(xenbus_open(&xenbus, NULL), 0);
		assert_int_equal(xenbus_prepare(&xenbus, SOON_MS, NULL), 0);
		assert_string_equal(fake_xen.said, cases[i].said);
		assert_string_equal(fake_xen_node(FAKE_BACKEND "/state"), "2");
		xenbus_close(&xenbus);
	}
}

static void test_silent_backend(void **state)
{
	struct xenbus xenbus;
	char why[PVCALLS_FRONT_WHY_MAX];

	(void)state;
	fake_xen_reset("1", "1");
	fake_xen.mute = true;
	assert_int_equal(xenbus_open(&xenbus, NULL), 0);
	assert_int_equal(xenbus_prepare(&xenbus, SOON_MS, why), -ETIMEDOUT);
	assert_non_null(strstr(why, "is pvcallsd running in domain 0"));
	xenbus_close(&xenbus);
}

static void test_opens_and_gives_back(void **state)
{
	struct pvcalls_front *front;

	(void)state;
	fake_xen_reset("4", "4");
	assert_int_equal(pvcalls_front_open(&front, &xen_options, NULL), 0);
	assert_int_equal(pvcalls_front_transport(front), PVCALLS_FRONT_XEN);
	assert_int_equal(pvcalls_front_max_order(front), 4);
	assert_string_equal(fake_xen.said, "56134");
	assert_string_equal(fake_xen_node(FAKE_DEVICE "/version"), "1");
	assert_string_equal(fake_xen_node(FAKE_DEVICE "/port"), "21");
	assert_string_equal(fake_xen_node(FAKE_DEVICE "/feature-cancel"), "1");
	assert_string_equal(fake_xen_node(FAKE_DEVICE "/feature-shutdown"), "1");
	assert_non_null(fake_xen_node(FAKE_DEVICE "/ring-ref"));
	assert_int_equal(fake_xen.transactions, 1);
	pvcalls_front_close(front, SOON_MS);
	assert_string_equal(fake_xen.said, "561345661");
	assert_int_equal(fake_xen.pages, 0);
	assert_int_equal(fake_xen.ports, 0);
}

static void test_backend_refuses(void **state)
{
	struct pvcalls_front *front;

	(void)state;
	fake_xen_reset("1", "2");
	fake_xen.refuse = true;
	assert_int_equal(pvcalls_front_open(&front, &xen_options, NULL), -ECONNREFUSED);
	assert_string_equal(fake_xen_node(FAKE_DEVICE "/state"), "1");
	assert_int_equal(fake_xen.pages, 0);
}

static void test_backend_goes(void **state)
{
	struct pvcalls_front *front;

	(void)state;
	fake_xen_reset("1", "2");
	assert_int_equal(pvcalls_front_open(&front, &xen_options, NULL), 0);
	fake_xen_set(FAKE_BACKEND "/state", "5");
	assert_int_equal(pvcalls_front_dispatch(front), -ENETDOWN);
	assert_int_equal(pvcalls_front_error(front), -ENETDOWN);
	pvcalls_front_close(front, SOON_MS);
	assert_string_equal(fake_xen_node(FAKE_DEVICE "/state"), "1");
	assert_int_equal(fake_xen.pages, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_choice),
		cmocka_unit_test(test_what_a_xen_domain_looks_like),
		cmocka_unit_test(test_device_is_found),
		cmocka_unit_test(test_bad_nodes_are_refused),
		cmocka_unit_test(test_lines_are_written_together),
		cmocka_unit_test(test_backend_nodes_are_read),
		cmocka_unit_test(test_device_is_made_ready),
		cmocka_unit_test(test_silent_backend),
		cmocka_unit_test(test_opens_and_gives_back),
		cmocka_unit_test(test_backend_refuses),
		cmocka_unit_test(test_backend_goes),
	};

	return cmocka_run_group_tests_name("xen device", tests, NULL, NULL);
}
