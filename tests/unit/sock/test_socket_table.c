/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sock/socket_table.h"

#define LIMIT 100

static void remove_one(void *owner, struct guest_socket *socket)
{
	struct socket_table *table = owner;

	socket_table_remove(table, socket);
}

static void test_sockets_are_found_by_name(void **state)
{
	struct socket_table *table = socket_table_create(LIMIT, NULL);
	struct guest_socket *socket;
	uint64_t i;

	(void)state;
	for (i = 0; i < LIMIT; i++) {
		assert_int_equal(socket_table_add(table, i << 40, 0, &socket), 0);
		assert_int_equal(socket->fd, -1);
		assert_int_equal(socket->number, i + 1);
	}
	assert_int_equal(socket_table_add(table, 1, 0, &socket), -EMFILE);
	assert_int_equal(socket_table_add(table, 5ull << 40, 0, &socket), -EEXIST);
	for (i = 0; i < LIMIT; i++)
		assert_int_equal(socket_table_find(table, i << 40)->number, i + 1);
	assert_null(socket_table_find(table, 1));
	assert_int_equal(socket_table_by_number(table, 42)->id, 41ull << 40);
	assert_null(socket_table_by_number(table, LIMIT + 1));
	socket_table_each(table, remove_one, table);
	assert_int_equal(socket_table_count(table), 0);
	socket_table_free(table);
}

static void test_numbers_are_never_used_twice(void **state)
{
	struct socket_table *table = socket_table_create(2, NULL);
	struct guest_socket *socket;
	uint64_t i;

	(void)state;
	for (i = 1; i < 50; i++) {
		assert_int_equal(socket_table_add(table, 7, 0, &socket), 0);
		assert_int_equal(socket->number, i);
		socket_table_remove(table, socket);
	}
	socket_table_free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sockets_are_found_by_name),
		cmocka_unit_test(test_numbers_are_never_used_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
