/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Functions that are run apart: what becomes of those that fail, crash, hang or talk too much. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "supervisor/children/job.h"

struct outcome {
	int calls;
	int result;
	size_t length;
	char text[64];
};

static void done(void *owner, int result, const char *text)
{
	struct outcome *outcome = owner;

	outcome->calls++;
	outcome->result = result;
	outcome->length = strlen(text);
	strncpy(outcome->text, text, sizeof(outcome->text) - 1);
}

static int fine(void *context, int output)
{
	job_say(output, context);
	return 0;
}

static int fails(void *context, int output)
{
	job_say(output, context);
	return 7;
}

static int crashes(void *context, int output)
{
	(void)context;
	job_say(output, "last words");
	kill(getpid(), SIGKILL);
	return 0;
}

static int hangs(void *context, int output)
{
	(void)context;
	(void)output;
	pause();
	return 0;
}

static int talks(void *context, int output)
{
	(void)context;
	for (int i = 0; i < 5000; i++)
		job_say(output, "0123456789012345678901234567890123456789");
	return 0;
}

static struct outcome run(job_run_fn function, void *context, uint64_t timeout_ns)
{
	struct loop *loop = loop_create();
	struct outcome outcome = {0};
	struct job *job = NULL;

	assert_non_null(loop);
	assert_int_equal(job_start(&job, loop, function, context, timeout_ns, done, &outcome), 0);
	while (!outcome.calls)
		loop_turn(loop, 10 * NS_PER_S);
	loop_turn(loop, 0);
	assert_int_equal(outcome.calls, 1);
	loop_destroy(loop);
	/* Nothing is left of it. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	return outcome;
}

static void success_and_failure(void **state)
{
	struct outcome outcome = run(fine, (char[]){"well"}, 10 * NS_PER_S);

	(void)state;
	assert_int_equal(outcome.result, 0);
	assert_string_equal(outcome.text, "well");
	outcome = run(fails, (char[]){"why"}, 10 * NS_PER_S);
	assert_int_equal(outcome.result, 7);
	assert_string_equal(outcome.text, "why");
}

static void a_crash_is_told(void **state)
{
	struct outcome outcome = run(crashes, NULL, 10 * NS_PER_S);

	(void)state;
	assert_int_equal(outcome.result, -ECHILD);
	assert_string_equal(outcome.text, "last words");
}

static void one_that_hangs_is_killed(void **state)
{
	uint64_t begin_ns = clock_monotonic_ns();
	struct outcome outcome = run(hangs, NULL, 100 * NS_PER_MS);

	(void)state;
	assert_int_equal(outcome.result, -ETIMEDOUT);
	assert_true(clock_monotonic_ns() - begin_ns < 5 * NS_PER_S);
}

static void one_that_talks_is_cut(void **state)
{
	struct outcome outcome = run(talks, NULL, 10 * NS_PER_S);

	(void)state;
	assert_int_equal(outcome.result, 0);
	assert_int_equal(outcome.length, JOB_TEXT_MAX - 1);
}

static void a_cancelled_one_is_gone(void **state)
{
	struct loop *loop = loop_create();
	struct outcome outcome = {0};
	struct job *job = NULL;

	(void)state;
	assert_int_equal(job_start(&job, loop, hangs, NULL, NS_PER_S, done, &outcome), 0);
	job_cancel(job);
	loop_turn(loop, 10 * NS_PER_MS);
	assert_int_equal(outcome.calls, 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	loop_destroy(loop);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(success_and_failure),      cmocka_unit_test(a_crash_is_told),
		cmocka_unit_test(one_that_hangs_is_killed), cmocka_unit_test(one_that_talks_is_cut),
		cmocka_unit_test(a_cancelled_one_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
