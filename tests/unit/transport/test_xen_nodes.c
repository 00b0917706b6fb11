/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Nodes of xenstore, read strictly and written all or none. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <xenstore.h>

#include "fake_store.h"
#include "transport/xen_nodes.h"

#define DIR FAKE_BASE "/7/0"
/* A transaction is tried so often. */
#define ATTEMPTS 16

static int connect_anew(void **state)
{
	fake_store_reset();
	*state = xen_nodes_connect();
	return *state ? 0 : -1;
}

static int disconnect(void **state)
{
	xs_close(*state);
	return 0;
}

/* --- connecting --- */

static void test_nobody_listening_at_the_socket_is_not_waited_for(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct xs_handle *xs;

	(void)state;
	snprintf(address.sun_path, sizeof(address.sun_path), "/tmp/pvcalls-xs-%d", getpid());
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	fake_store_socket(address.sun_path);
	assert_null(xen_nodes_connect());
	assert_int_equal(errno, ECONNREFUSED);
	assert_int_equal(fake_store_connections(), 1); /* the library was not asked */
	assert_int_equal(listen(fd, 4), 0);
	xs = xen_nodes_connect();
	assert_non_null(xs);
	xs_close(xs);
	close(fd);
	unlink(address.sun_path);
}

static void test_a_lost_connection_does_not_answer(void **state)
{
	assert_true(xen_nodes_answer(*state));
	fake_store_lose(true);
	assert_false(xen_nodes_answer(*state));
}

/* --- reading --- */

static void test_text_is_read_below_a_directory_and_at_home(void **state)
{
	char text[16];

	fake_store_set(DIR "/key", "value");
	fake_store_set("domid", "5");
	fake_store_set(DIR "/empty", "");
	assert_int_equal(xen_nodes_text(*state, DIR, "key", text, sizeof(text)), 0);
	assert_string_equal(text, "value");
	assert_int_equal(xen_nodes_text(*state, "", "domid", text, sizeof(text)), 0);
	assert_string_equal(text, "5");
	assert_int_equal(xen_nodes_text(*state, DIR, "empty", text, sizeof(text)), 0);
	assert_string_equal(text, "");
}

static void test_text_that_is_none_is_refused(void **state)
{
	char path[2 * XEN_PATH_MAX];
	char text[8] = "before";

	assert_int_equal(xen_nodes_text(*state, DIR, "none", text, sizeof(text)), -ENOENT);
	fake_store_set_bytes(DIR "/nul", "1\0002", 3);
	assert_int_equal(xen_nodes_text(*state, DIR, "nul", text, sizeof(text)), -EINVAL);
	fake_store_set_bytes(DIR "/nul-last", "1\0", 2);
	assert_int_equal(xen_nodes_text(*state, DIR, "nul-last", text, sizeof(text)), -EINVAL);
	fake_store_set(DIR "/long", "12345678");
	assert_int_equal(xen_nodes_text(*state, DIR, "long", text, sizeof(text)), -E2BIG);
	assert_string_equal(text, "before");
	fake_store_set(DIR "/fits", "1234567");
	assert_int_equal(xen_nodes_text(*state, DIR, "fits", text, sizeof(text)), 0);
	memset(path, 'a', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(xen_nodes_text(*state, path, "key", text, sizeof(text)), -ENAMETOOLONG);
	fake_store_lose(true);
	assert_int_equal(xen_nodes_text(*state, DIR, "fits", text, sizeof(text)), -EIO);
}

static void test_numbers_are_digits_and_nothing_else(void **state)
{
	static const char *const bad[] = {"",     " 1",         "1 ",
					  "1\n",  "-1",         "+1",
					  "0x1",  "1e1",        "one",
					  "1.0",  "4294967296", "18446744073709551617",
					  "\xb2", "1,2",        "99999999999999999999999999999999",
					  "--1",  "4 294 967"};
	uint32_t number = 77;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(xen_nodes_parse(bad[i], UINT32_MAX, &number), -EINVAL);
	assert_int_equal(number, 77);
	assert_int_equal(xen_nodes_parse("4294967295", UINT32_MAX, &number), 0);
	assert_int_equal(number, UINT32_MAX);
	assert_int_equal(xen_nodes_parse("0", 0, &number), 0);
	assert_int_equal(number, 0);
	assert_int_equal(xen_nodes_parse("8", 8, &number), 0);
	assert_int_equal(number, 8);
	assert_int_equal(xen_nodes_parse("9", 8, &number), -EINVAL);
	assert_int_equal(number, 8);
}

static void test_a_number_is_read_from_a_node(void **state)
{
	uint32_t number = 77;

	assert_int_equal(xen_nodes_number(*state, DIR, "state", 8, &number), -ENOENT);
	fake_store_set(DIR "/state", "4");
	assert_int_equal(xen_nodes_number(*state, DIR, "state", 8, &number), 0);
	assert_int_equal(number, 4);
	fake_store_set(DIR "/state", "9");
	assert_int_equal(xen_nodes_number(*state, DIR, "state", 8, &number), -EINVAL);
	fake_store_set_bytes(DIR "/state", "4\0", 2);
	assert_int_equal(xen_nodes_number(*state, DIR, "state", 8, &number), -EINVAL);
	fake_store_set(DIR "/state", "00000000000000000000000000000004");
	assert_int_equal(xen_nodes_number(*state, DIR, "state", 8, &number), -E2BIG);
	assert_int_equal(number, 4);
}

/* --- listing --- */

static void test_a_list_skips_what_is_not_a_number(void **state)
{
	static const char *const names[] = {"12", "-1", "1x", "0", "x", "+3", "7", "99999999999"};
	uint32_t numbers[16];
	char path[XEN_PATH_MAX];
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), FAKE_BASE "/%s/0/state", names[i]);
		fake_store_set(path, "1");
	}
	assert_int_equal(xen_nodes_list(*state, FAKE_BASE, numbers, 16), 3);
	assert_int_equal(numbers[0], 0);
	assert_int_equal(numbers[1], 12);
	assert_int_equal(numbers[2], 7);
}

static void test_a_list_ends_where_the_room_does(void **state)
{
	uint32_t numbers[6] = {0, 0, 0, 0, 99, 99};
	char path[XEN_PATH_MAX];
	unsigned i;

	for (i = 0; i < 50; i++) {
		snprintf(path, sizeof(path), FAKE_BASE "/%u", i);
		fake_store_set(path, "");
	}
	assert_int_equal(xen_nodes_list(*state, FAKE_BASE, numbers, 4), 4);
	assert_int_equal(numbers[4], 99);
}

static void test_a_list_of_nothing_is_empty_and_of_nobody_an_error(void **state)
{
	uint32_t numbers[4];

	assert_int_equal(xen_nodes_list(*state, FAKE_BASE, numbers, 4), 0);
	fake_store_set(FAKE_BASE, "");
	assert_int_equal(xen_nodes_list(*state, FAKE_BASE, numbers, 4), 0);
	fake_store_lose(true);
	assert_int_equal(xen_nodes_list(*state, FAKE_BASE, numbers, 4), -EIO);
}

/* --- writing --- */

static const struct device_node nodes[] = {{"versions", "1"}, {"max-page-order", "9"}};

static int write_nodes(void **state)
{
	return xen_nodes_write(*state, DIR, false, nodes, 2);
}

static void test_nodes_are_written_as_one_transaction(void **state)
{
	fake_store_set(DIR "/frontend", "somewhere");
	assert_int_equal(write_nodes(state), 0);
	assert_true(fake_store_is(DIR "/versions", "1"));
	assert_true(fake_store_is(DIR "/max-page-order", "9"));
	assert_int_equal(fake_store_commits(), 1);
	assert_int_equal(fake_store_attempts(), 1);
}

static void test_a_write_is_tried_again_when_others_wrote(void **state)
{
	fake_store_set(DIR "/frontend", "somewhere");
	fake_store_conflict(ATTEMPTS - 1);
	assert_int_equal(write_nodes(state), 0);
	assert_true(fake_store_is(DIR "/versions", "1"));
	assert_int_equal(fake_store_attempts(), ATTEMPTS);
	assert_int_equal(fake_store_commits(), 1);
}

static void test_a_write_is_given_up_when_others_write_for_ever(void **state)
{
	fake_store_set(DIR "/frontend", "somewhere");
	fake_store_conflict(1000);
	assert_int_equal(write_nodes(state), -EAGAIN);
	assert_int_equal(fake_store_attempts(), ATTEMPTS);
	assert_false(fake_store_is(DIR "/versions", NULL));
}

static void test_nothing_is_written_where_the_device_is_gone(void **state)
{
	assert_int_equal(write_nodes(state), -ENOENT);
	assert_false(fake_store_is(DIR "/versions", NULL));
	assert_int_equal(fake_store_commits(), 0);
	assert_int_equal(fake_store_attempts(), 1);
}

static void test_a_write_that_is_refused_leaves_nothing(void **state)
{
	fake_store_set(DIR "/frontend", "somewhere");
	fake_store_refuse_writes(EACCES);
	assert_int_equal(write_nodes(state), -EACCES);
	assert_int_equal(fake_store_commits(), 0);
	fake_store_lose(true);
	assert_int_equal(write_nodes(state), -EIO);
}

#define ONLINE(name) cmocka_unit_test_setup_teardown(name, connect_anew, disconnect)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ONLINE(test_nobody_listening_at_the_socket_is_not_waited_for),
		ONLINE(test_a_lost_connection_does_not_answer),
		ONLINE(test_text_is_read_below_a_directory_and_at_home),
		ONLINE(test_text_that_is_none_is_refused),
		ONLINE(test_numbers_are_digits_and_nothing_else),
		ONLINE(test_a_number_is_read_from_a_node),
		ONLINE(test_a_list_skips_what_is_not_a_number),
		ONLINE(test_a_list_ends_where_the_room_does),
		ONLINE(test_a_list_of_nothing_is_empty_and_of_nobody_an_error),
		ONLINE(test_nodes_are_written_as_one_transaction),
		ONLINE(test_a_write_is_tried_again_when_others_wrote),
		ONLINE(test_a_write_is_given_up_when_others_write_for_ever),
		ONLINE(test_nothing_is_written_where_the_device_is_gone),
		ONLINE(test_a_write_that_is_refused_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
