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
#include "supervisor/control/requests.h"

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

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_requests),
		cmocka_unit_test(bad_requests),
		cmocka_unit_test(names_that_are_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
