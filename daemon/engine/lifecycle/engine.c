/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/lifecycle/engine.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/fd.h"
#include "engine/calls/serve.h"
#include "policy/host_view/host_view.h"
#include "policy/plugin_host/allowances.h"
#include "policy/plugin_host/plugin_registry.h"
#include "policy/policy.h"

struct engine *engine_create(int control)
{
	struct engine *engine = calloc(1, sizeof(*engine));

	if (!engine)
		return NULL;
	engine->control = control;
	engine->supervised = true;
	engine->queue_event = -1;
	engine->recovery_fd = -1;
	engine->loop = loop_create();
	engine->calls.lingering = engine->loop ? lingering_create(engine->loop) : NULL;
	engine->calls.wall_clock = &engine->turn.wall_clock;
	if (!engine->calls.lingering ||
	    wall_clock_open(&engine->turn.wall_clock, engine->loop) < 0 ||
	    serve_init(&engine->calls, &engine->connections, engine->loop, &engine->log,
		       &engine->recovery_log, &engine->guest) < 0) {
		if (engine->calls.lingering)
			lingering_free(engine->calls.lingering);
		wall_clock_close(&engine->turn.wall_clock);
		loop_destroy(engine->loop);
		free(engine);
		return NULL;
	}
	turn_init(&engine->turn, engine->loop, &engine->connections, &engine->calls);
	return engine;
}

void engine_destroy(struct engine *engine)
{
	struct calls *calls = &engine->calls;

	ASSERT(!calls->attached);
	lingering_free(calls->lingering);
	socket_table_free(calls->sockets);
	connections_free(&engine->connections);
	pending_calls_close(calls);
	if (calls->policy)
		policy_free(calls->policy);
	allowances_unmap(engine->allowances);
	if (engine->transport)
		engine->transport->ops->close(engine->transport);
	if (calls->queue)
		audit_queue_close(calls->queue);
	if (engine->host)
		host_view_close(engine->host);
	if (engine->plugins)
		plugin_registry_free(engine->plugins);
	fd_close(&engine->queue_event);
	recovery_log_close(&engine->recovery_log);
	fd_close(&engine->recovery_fd);
	wall_clock_close(&engine->turn.wall_clock);
	loop_destroy(engine->loop);
	free(engine);
}
