/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/lifecycle/attach.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "engine/calls/close_socket.h"
#include "engine/lifecycle/engine.h"
#include "engine/lifecycle/take_over.h"
#include "policy/policy.h"

int engine_attach(struct engine *engine, const struct engine_attach_args *args, struct fault *fault)
{
	const struct transport_ops *ops = engine->transport->ops;
	struct connections *connections = &engine->connections;
	struct calls *calls = &engine->calls;
	void *page;
	int error;

	if (calls->attached)
		return fault_set(fault, EBUSY, "the command ring is attached already");
	ASSERT(calls->policy && calls->queue && calls->sockets);
	error = ops->map(engine->transport, &args->ring_ref, 1, &page);
	if (error)
		return fault_set(fault, -error, "ring-ref %u can't be mapped: %s", args->ring_ref,
				 strerror(-error));
	error = ops->bind(engine->transport, args->port, &calls->command_port);
	if (error) {
		ops->unmap(engine->transport, page, 1);
		return fault_set(fault, -error, "port %u can't be bound: %s", args->port,
				 strerror(-error));
	}
	connections->transport = engine->transport;
	connections->names = args->names;
	connections->names_on_demand = args->names_on_demand;
	connections->read_local = engine->start.read_local;
	connections->reuse = args->reuse;
	connections->half_close = args->half_close;
	connections->violation.text[0] = '\0';
	calls->cancel = args->cancel || args->park;
	calls->parks = args->park;
	calls->collects_taken = calls->collects_answered = 0;
	calls->counters.lost_slots = 0; /* of this ring */
	command_ring_attach(&calls->ring, page);
	if (args->take_over)
		take_over(engine, args);
	else
		recovery_log_begin(&engine->recovery_log, args->ring_ref, args->port, 0, 0);
	calls->attached = true;
	/* Requests may be on the ring already. */
	calls->ring_due = true;
	return 0;
}

void engine_detach(struct engine *engine, uint32_t reason)
{
	const struct transport_ops *ops = engine->transport->ops;
	struct calls *calls = &engine->calls;

	if (!calls->attached)
		return;
	/* From here on nothing is written into the guest's command ring. */
	calls->attached = false;
	close_all_sockets(calls, reason);
	policy_note_allowances(calls->policy);
	connections_uncache(&engine->connections);
	/* Those that are done and wait for their commit: their guest is not there to be answered.
	 */
	pending_calls_reset(calls);
	slots_watch_reset(&engine->turn.slots_watch);
	ops->unbind(engine->transport, calls->command_port);
	ops->unmap(engine->transport, calls->ring.page, 1);
	calls->ring.page = NULL;
	calls->ring_due = false;
	calls->ring_masked = false;
	calls->responses_due = false;
}

bool engine_lingers(const struct engine *engine)
{
	return lingering_bytes(engine->calls.lingering) > 0 ||
	       audit_queue_kept(engine->calls.queue) > 0;
}
