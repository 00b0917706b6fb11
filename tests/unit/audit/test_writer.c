/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The real pvcalls-auditd: what engines hand over is in the trail, once, whatever dies when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "harness.h"

static void test_stores_what_engines_hand_over(void **state)
{
	(void)state;
	struct folder folder;
	struct daemon daemon;
	struct engine engine;
	folder_make(&folder);
	daemon_init(&daemon);
	daemon_start(&daemon, &folder, NULL);
	engine_start(&engine, &daemon, "web-1", 7);
	assert_true(daemon_await(&daemon, &daemon.ready, 1, 10000));

	for (unsigned i = 0; i < 5000; i++)
		assert_true(engine_produce(&engine));
	audit_queue_flush(engine.queue, false);
	assert_true(engine_settle(&engine, &daemon, 10000));
	assert_int_equal(engine.reaped, 5000);
	assert_int_equal(trail_sum(&folder, "SELECT count(*) FROM call_log"), 5000);

	audit_link_finish(daemon.link, engine.identity.queue_id);
	assert_true(daemon_await(&daemon, &daemon.finished, 1, 10000));
	assert_int_equal(audit_link_pending(daemon.link), 0);
	engine_end(&engine);
	assert_int_equal(daemon_end(&daemon), 0);
	folder_remove(&folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stores_what_engines_hand_over),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
