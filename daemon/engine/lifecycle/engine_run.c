/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/lifecycle/engine_run.h"

#include "engine/calls/serve.h"
#include "engine/lifecycle/attach.h"
#include "engine/lifecycle/engine.h"
#include "engine/lifecycle/supervisor_link.h"
#include "ipc/audit_record.h"

/* A guest whose slots are full is none that broke the protocol: people are told. */
static void engine_run_tell_full(struct engine *engine)
{
	char *text = engine->turn.slots_watch.text;

	supervisor_link_send(engine, ENGINE_MESSAGE_FULL, 0, 0, text);
	text[0] = '\0';
}

bool engine_turn(struct engine *engine)
{
	const char *violation = engine->connections.violation.text;
	bool busy = turn_work(&engine->turn);

	if (engine->calls.attached && violation[0]) {
		log_warning(&engine->log, "the guest is cut off: %s", violation);
		engine_detach(engine, AUDIT_CLOSE_CUT_OFF);
		supervisor_link_send(engine, ENGINE_MESSAGE_BROKEN, 0, 0, violation);
	}
	if (engine->turn.slots_watch.text[0])
		engine_run_tell_full(engine);
	return busy;
}

/*
 * The guest is gone, but peers are still to get what it had written to sockets that it released,
 * and the trail the records of its sockets' end. A supervisor that dies meanwhile ends us by a
 * signal, see engine_start.c.
 */
static void engine_run_lingering(struct engine *engine)
{
	loop_remove(engine->loop, &engine->transport_source);
	loop_remove(engine->loop, &engine->host_source);
	while (engine_lingers(engine) && loop_turn(engine->loop, LOOP_FOREVER) >= 0)
		serve_kept(&engine->calls);
}

int engine_run(struct engine *engine)
{
	int error = 0;

	busy_poll_calibrate(&engine->turn.poll, TURN_POLL_NS_MIN, TURN_POLL_NS_MAX);
	while (!engine->stop && !error)
		error = turn_wait(&engine->turn, engine_turn(engine));
	engine_detach(engine, AUDIT_CLOSE_SHUTDOWN);
	engine_run_lingering(engine);
	return error;
}
