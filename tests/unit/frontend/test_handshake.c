/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What people are told when the backend goes away while the device comes up. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include <pvcalls/frontend.h>

#include "library/front.h"
#include "library/handshake.h"
#include "transports/why.h"

#define TIMEOUT_MS 5000

/* A transport whose backend is in a given state, and goes away with a given write. */
struct leaving_transport {
	struct front_transport base;
	const char *state;
	unsigned writes; /* that succeed */
	unsigned silent; /* looks before it says why */
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
	const struct leaving_transport *leaving = (const struct leaving_transport *)transport;

	assert_string_equal(key, "state");
	snprintf(value, FRONT_VALUE_MAX, "%s", leaving->state);
	return 0;
}

static int leaving_refresh(struct front_transport *transport, char *why)
{
	struct leaving_transport *leaving = (struct leaving_transport *)transport;

	if (leaving->silent) {
		leaving->silent--;
		return 0;
	}
	return leaving->refusal ? why_set(why, leaving->refusal, "it refused") : 0;
}

static const struct front_transport_ops leaving_ops = {
	.write = leaving_write, .read = leaving_read, .refresh = leaving_refresh};

static int connect_to(struct leaving_transport *leaving, char why[PVCALLS_FRONT_WHY_MAX])
{
	struct pvcalls_front front = {.transport = &leaving->base, .command_port = 1};
	int error;

	why[0] = '\0';
	leaving->base.ops = &leaving_ops;
	leaving->base.store_fd = eventfd(1, EFD_CLOEXEC); /* there is always something to hear */
	error = handshake_connect(&front, 1, TIMEOUT_MS, why);
	close(leaving->base.store_fd);
	return error;
}

static int connect_leaving(unsigned writes, int refusal, char why[PVCALLS_FRONT_WHY_MAX])
{
	struct leaving_transport leaving = {.state = "4", .writes = writes, .refusal = refusal};

	return connect_to(&leaving, why);
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

/* It closes the device first, and says why then. */
static void test_refusal_after_the_state_is_told(void **state)
{
	static const char *const states[] = {"5", "6"};
	char why[PVCALLS_FRONT_WHY_MAX];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		struct leaving_transport leaving = {
			.state = states[i], .writes = 2, .silent = 3, .refusal = EACCES};

		assert_int_equal(connect_to(&leaving, why), -EACCES);
		assert_string_equal(why, "it refused");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusal_is_told),
		cmocka_unit_test(test_end_is_told),
		cmocka_unit_test(test_refusal_after_the_state_is_told),
	};

	return cmocka_run_group_tests_name("handshake", tests, NULL, NULL);
}
