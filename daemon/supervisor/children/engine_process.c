/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "supervisor/children/engine_process.h"

#include <signal.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/fd.h"

void engine_process_kill(struct engine_process *engine, const char *what)
{
	ASSERT(what[0]);
	if (!engine->end[0])
		snprintf(engine->end, sizeof(engine->end), "%s", what);
	child_signal(&engine->child, SIGKILL);
}

static void engine_process_deadline_passed(struct loop_timer *timer)
{
	struct engine_process *engine = timer->owner;
	const char *what = "did not end in time and was killed";

	if (engine->phase == ENGINE_STARTING)
		what = "was not ready within 30 s and was killed";
	else if (engine->policy_pending && engine->phase < ENGINE_DETACHING)
		what = "did not take a policy within 30 s and was killed";
	engine_process_kill(engine, what);
}

void engine_process_set_deadline(struct engine_process *engine, uint64_t from_now_ns)
{
	loop_arm(engine->loop, &engine->deadline, clock_monotonic_ns() + from_now_ns,
		 engine_process_deadline_passed, engine);
}

void engine_process_close_socket(struct engine_process *engine)
{
	loop_remove(engine->loop, &engine->source);
	fd_close(&engine->socket);
}

void engine_process_finish(struct engine_process *engine, uint64_t within_ns)
{
	ASSERT(engine->phase == ENGINE_DETACHING);
	engine->phase = ENGINE_ENDING;
	engine_process_close_socket(engine);
	engine_process_set_deadline(engine, within_ns);
}
