/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests of the control socket, and reports of engines, read as from a stranger. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "supervisor/requests.h"

static void good_requests(void **state)
{
	struct request request;
	struct fault fault;

	(void)state;
	assert_int_equal(request_parse(&request, "{\"command\": \"status\"}", &fault), 0);
	assert_int_equal(request.verb, REQUEST_STATUS);
	assert_true(request_only_reads(request.verb));
	assert_int_equal(
		request_parse(&request, "{\"command\":\"sockets\",\"guest\":\"web-1\"}", &fault),
		0);
	assert_string_equal(request.guest, "web-1");
	assert_int_equal(request_parse(&request,
				       "{\"command\":\"kill\",\"guest\":\"a\",\"socket\":7}",
				       &fault),
			 0);
	assert_int_equal(request.socket, 7);
	assert_false(request_only_reads(request.verb));
	assert_int_equal(request_parse(&request, "{\"command\":\"reload\"}", &fault), 0);
	assert_false(request_only_reads(request.verb));
}

static void bad_requests(void **state)
{
	static const char *const bad[] = {
		"",
		"{",
		"[]",
		"7",
		"null",
		"\"status\"",
		"{}",
		"{\"command\":7}",
		"{\"command\":\"nope\"}",
		"{\"command\":\"status\",\"command\":\"kill\"}",
		"{\"command\":\"status\",\"guest\":\"a\"}",
		"{\"command\":\"status\",\"more\":1}",
		"{\"command\":\"kill\"}",
		"{\"command\":\"kill\",\"guest\":\"\"}",
		"{\"command\":\"kill\",\"guest\":7}",
		"{\"command\":\"kill\",\"guest\":\"a\",\"socket\":0}",
		"{\"command\":\"kill\",\"guest\":\"a\",\"socket\":-1}",
		"{\"command\":\"kill\",\"guest\":\"a\",\"socket\":\"1\"}",
		"{\"command\":\"kill\",\"guest\":\"a\",\"socket\":1.5}",
		"{\"command\":\"sockets\",\"socket\":1}",
		"{\"command\":\"status\"} {}",
		"{\"command\":\"st\\u0000atus\"}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct request request;
		struct fault fault = {.text = ""};

		if (request_parse(&request, bad[i], &fault) != -EINVAL)
			fail_msg("accepted: %s", bad[i]);
		assert_int_not_equal(fault.text[0], '\0');
	}
}

static void names_that_are_too_long(void **state)
{
	char line[128];
	struct request request;
	struct fault fault;

	(void)state;
	snprintf(line, sizeof(line), "{\"command\":\"kill\",\"guest\":\"%064d\"}", 7);
	assert_int_equal(request_parse(&request, line, &fault), -EINVAL);
	snprintf(line, sizeof(line), "{\"command\":\"kill\",\"guest\":\"%063d\"}", 7);
	assert_int_equal(request_parse(&request, line, &fault), 0);
}

static void reports_become_objects(void **state)
{
	json_t *object = json_object();

	(void)state;
	report_add(object, "calls 5\npolicy my own one\nempty\nbig 18446744073709551615\n"
			   "raw \xff\x1b[2J\nlast 1");
	assert_int_equal(json_integer_value(json_object_get(object, "calls")), 5);
	assert_string_equal(json_string_value(json_object_get(object, "policy")), "my own one");
	assert_string_equal(json_string_value(json_object_get(object, "empty")), "");
	assert_true(json_is_string(json_object_get(object, "big")));
	assert_string_equal(json_string_value(json_object_get(object, "raw")), "?\x1b[2J");
	assert_int_equal(json_integer_value(json_object_get(object, "last")), 1);
	json_decref(object);
}

static void sockets_become_an_array(void **state)
{
	json_t *array = report_sockets("socket 1 state stream peer 1.2.3.4:5\n"
				       "socket 2 state listening odd\n\nsocket 3\n");
	const json_t *first = json_array_get(array, 0);

	(void)state;
	assert_int_equal(json_array_size(array), 3);
	assert_int_equal(json_integer_value(json_object_get(first, "socket")), 1);
	assert_string_equal(json_string_value(json_object_get(first, "peer")), "1.2.3.4:5");
	json_decref(array);
	array = report_sockets("");
	assert_int_equal(json_array_size(array), 0);
	json_decref(array);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_requests),           cmocka_unit_test(bad_requests),
		cmocka_unit_test(names_that_are_too_long), cmocka_unit_test(reports_become_objects),
		cmocka_unit_test(sockets_become_an_array),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
