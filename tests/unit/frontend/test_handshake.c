/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What people are told when the backend goes away while the device comes up. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <pvcalls/frontend.h>

#include "library/front.h"
#include "library/handshake.h"
#include "transports/why.h"

#define TIMEOUT_MS 5000

/* A transport whose backend is in state 4, and goes away with a given write. */
struct leaving_transport {
	struct front_transport base;
	unsigned writes; /* that succeed */
	int refusal;     /* errno of what it says before it goes; 0: nothing */
};

static int leaving_write(struct front_transport *transport, const char *lines)
{
	struct leaving_transport *leaving = (struct leaving_transport *)transport;

	(void)lines;
	if (!leaving->writes)
		return -EPIPE;
	leaving->writes--;
	return 0;
}

static int leaving_read(const struct front_transport *transport, const char *key,
			char value[FRONT_VALUE_MAX])
{
	(void)transport;
	assert_string_equal(key, "state");
	snprintf(value, FRONT_VALUE_MAX, "4");
	return 0;
}

static int leaving_refresh(struct front_transport *transport, char *why)
{
	const struct leaving_transport *leaving = (const struct leaving_transport *)transport;

	return leaving->refusal ? why_set(why, leaving->refusal, "it refused") : 0;
}

static int connect_leaving(unsigned writes, int refusal, char why[PVCALLS_FRONT_WHY_MAX])
{
	static const struct front_transport_ops ops = {
		.write = leaving_write, .read = leaving_read, .refresh = leaving_refresh};
	struct leaving_transport leaving = {
		.base = {.ops = &ops, .store_fd = -1}, .writes = writes, .refusal = refusal};
	struct pvcalls_front front = {.transport = &leaving.base, .command_port = 1};

	why[0] = '\0';
	return handshake_connect(&front, 1, TIMEOUT_MS, why);
}

static void test_refusal_is_told(void **state)
{
	char why[PVCALLS_FRONT_WHY_MAX];
	unsigned writes;

	(void)state;
	for (writes = 0; writes < 2; writes++) {
		assert_int_equal(connect_leaving(writes, EACCES, why), -EACCES);
		assert_string_equal(why, "it refused");
	}
	assert_int_equal(connect_leaving(2, EACCES, why), 0);
}

static void test_end_is_told(void **state)
{
	char why[PVCALLS_FRONT_WHY_MAX];
	unsigned writes;

	(void)state;
	for (writes = 0; writes < 2; writes++) {
		assert_int_equal(connect_leaving(writes, 0, why), -EPIPE);
		assert_non_null(strstr(why, strerror(EPIPE)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusal_is_told),
		cmocka_unit_test(test_end_is_told),
	};

	return cmocka_run_group_tests_name("handshake", tests, NULL, NULL);
}
