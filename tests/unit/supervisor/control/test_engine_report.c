/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reports of engines, as JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "supervisor/control/engine_report.h"

static void reports_become_objects(void **state)
{
	json_t *object = json_object();

	(void)state;
	engine_report_add(object, "calls 5\npolicy my own one\nempty\nbig 18446744073709551615\n"
				  "raw \xff\x1b[2J\nlast 1");
	assert_int_equal(json_integer_value(json_object_get(object, "calls")), 5);
	assert_string_equal(json_string_value(json_object_get(object, "policy")), "my own one");
	assert_string_equal(json_string_value(json_object_get(object, "empty")), "");
	assert_true(json_is_string(json_object_get(object, "big")));
	assert_string_equal(json_string_value(json_object_get(object, "raw")), "?\x1b[2J");
	assert_int_equal(json_integer_value(json_object_get(object, "last")), 1);
	json_decref(object);
}

static void sums_are_of_numbers(void **state)
{
	json_t *object = json_object();
	char text[64];
	unsigned int i;

	(void)state;
	engine_report_sum(object, "a.b 5\nword x\nempty\nbig 18446744073709551615\na.b 1\n");
	engine_report_sum(object, "a.b 2\nc 0\n");
	assert_int_equal(json_object_size(object), 2);
	assert_int_equal(json_integer_value(json_object_get(object, "a.b")), 8);
	for (i = 0; i < 2 * REPORT_SUMS_MAX; i++) {
		snprintf(text, sizeof(text), "name%u 1\na.b 1\n", i);
		engine_report_sum(object, text);
	}
	assert_int_equal(json_object_size(object), REPORT_SUMS_MAX);
	assert_int_equal(json_integer_value(json_object_get(object, "a.b")),
			 8 + 2 * REPORT_SUMS_MAX);
	json_decref(object);
}

static void one_report_leaves_room_for_others(void **state)
{
	json_t *object = json_object();
	char text[16 * 2 * REPORT_NEW_MAX] = "";
	size_t used = 0;
	unsigned int i;

	(void)state;
	for (i = 0; i < 2 * REPORT_NEW_MAX; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "name%u 1\n", i);
	assert_int_equal(engine_report_sum(object, text), REPORT_NEW_MAX);
	assert_int_equal(json_object_size(object), REPORT_NEW_MAX);
	assert_int_equal(engine_report_sum(object, "ratelimit.faults 3\n"), 0);
	assert_int_equal(json_integer_value(json_object_get(object, "ratelimit.faults")), 3);
	json_decref(object);
}

static void sockets_become_an_array(void **state)
{
	json_t *array = engine_report_sockets("socket 1 state stream peer 1.2.3.4:5\n"
					      "socket 2 state listening odd\n\nsocket 3\n");
	const json_t *first = json_array_get(array, 0);

	(void)state;
	assert_int_equal(json_array_size(array), 3);
	assert_int_equal(json_integer_value(json_object_get(first, "socket")), 1);
	assert_string_equal(json_string_value(json_object_get(first, "peer")), "1.2.3.4:5");
	json_decref(array);
	array = engine_report_sockets("");
	assert_int_equal(json_array_size(array), 0);
	json_decref(array);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(reports_become_objects),
		cmocka_unit_test(sums_are_of_numbers),
		cmocka_unit_test(one_report_leaves_room_for_others),
		cmocka_unit_test(sockets_become_an_array),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
