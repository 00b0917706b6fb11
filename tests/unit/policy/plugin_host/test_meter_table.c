/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Meters by name, when there is memory for a part of their table only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "policy/plugin_host/meter_table.h"

static int allocations_left; /* that succeed */

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

void *__wrap_calloc(size_t count, size_t size)
{
	return allocations_left-- > 0 ? __real_calloc(count, size) : NULL;
}

static uint32_t get_meter(struct meter_table *table, const struct meter_table *previous)
{
	return meter_table_get(table, previous, "plugin", "key", 1000, 1000, true);
}

static void test_no_memory_for_a_part(void **state)
{
	struct meter_table table = {0};
	struct meter_table next = {0};
	int part;

	(void)state;
	/* The list, the hash chains, the meter. */
	for (part = 0; part < 3; part++) {
		allocations_left = part;
		assert_int_equal(get_meter(&table, NULL), 0);
		allocations_left = 0;
		assert_int_equal(get_meter(&table, NULL), 0);
		allocations_left = 3;
		assert_int_not_equal(get_meter(&next, &table), 0);
		meter_table_commit(&next, &table);
		meter_table_free(&next);
	}
	allocations_left = 3;
	assert_int_equal(get_meter(&table, NULL), 1);
	assert_non_null(meter_table_at(&table, 1));
	meter_table_free(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_memory_for_a_part),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
