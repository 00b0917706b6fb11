/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine of one guest: what it holds from its start to its end.
 *
 * Theory of operation. The parts below know each other only downwards: turn (scheduling) works on
 * calls, calls on connections. This folder puts them together, has the supervisor's word obeyed and
 * takes everything apart again.
 */
#ifndef ENGINE_LIFECYCLE_ENGINE_H
#define ENGINE_LIFECYCLE_ENGINE_H

#include <stdbool.h>

#include "base/log.h"
#include "base/loop.h"
#include "engine/calls/calls.h"
#include "engine/connections/connections.h"
#include "engine/scheduling/turn.h"
#include "ipc/engine_message.h"
#include "ipc/recovery_log.h"
#include "transport/transport.h"

struct allowances;
struct host_view;
struct plugin_registry;

struct engine {
	struct log log;
	struct loop *loop;
	struct pvcalls_guest guest;
	struct engine_start_args start;

	int control; /* socket to the supervisor; borrowed */
	struct loop_source control_source;
	bool supervised; /* false once the supervisor is gone */
	bool stop;       /* leave the main loop */

	struct plugin_registry *plugins;
	struct allowances *allowances; /* what the guest has used of its limits */
	struct host_view *host;
	struct loop_source host_source;

	int queue_event; /* eventfd by which the writer of the trail wakes us */
	struct loop_source queue_source;

	struct transport *transport;
	struct loop_source transport_source;

	struct recovery_log recovery_log;
	int recovery_fd; /* -1: none */

	struct connections connections;
	struct calls calls;
	struct turn turn;
};

/*
 * Makes an engine with its loop; the rest comes with ENGINE_MESSAGE_START. control is its socket to
 * the supervisor and stays the caller's. Returns NULL without memory.
 */
struct engine *engine_create(int control);
/* Frees an engine that is not attached, and all that it opened. */
void engine_destroy(struct engine *engine);

#endif
