/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The beginning and the end of a guest's device: its command ring, and all of its sockets. */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "engine/adopt.h"
#include "engine/call_steps.h"
#include "engine/calls.h"
#include "engine/engine.h"

int engine_attach(struct engine *engine, const struct engine_attach_args *attach,
		  struct fault *fault)
{
	const struct transport_ops *ops = engine->transport->ops;
	void *page;
	int error;

	if (engine->attached)
		return fault_set(fault, EBUSY, "the command ring is attached already");
	error = ops->map(engine->transport, &attach->ring_ref, 1, &page);
	if (error)
		return fault_set(fault, -error, "ring-ref %u can't be mapped: %s", attach->ring_ref,
				 strerror(-error));
	error = ops->bind(engine->transport, attach->port, &engine->command_port);
	if (error) {
		ops->unmap(engine->transport, page, 1);
		return fault_set(fault, -error, "port %u can't be bound: %s", attach->port,
				 strerror(-error));
	}
	command_ring_attach(&engine->ring, page);
	if (attach->take_over)
		engine_adopt(engine, attach);
	else
		recovery_log_begin(&engine->recovery_log, attach->ring_ref, attach->port, 0, 0);
	engine->names = attach->names;
	engine->cancel = attach->cancel;
	engine->reuse = attach->reuse;
	engine->half_close = attach->half_close;
	engine->broken[0] = '\0';
	engine->attached = true;
	/* Requests may be on the ring already. */
	engine->ring_due = true;
	return 0;
}

void engine_broken(struct engine *engine, const char *format, ...)
{
	va_list arguments;

	if (engine->broken[0])
		return;
	va_start(arguments, format);
	vsnprintf(engine->broken, sizeof(engine->broken), format, arguments);
	va_end(arguments);
}

/* Waits until the writer has given slots back, at most until deadline_ns. */
static void await_slots(struct engine *engine, uint64_t deadline_ns)
{
	struct pollfd bell = {.fd = engine->doorbell, .events = POLLIN};
	uint64_t now = clock_monotonic_ns();

	audit_queue_await(engine->queue);
	audit_queue_flush(engine->queue, true);
	if (now < deadline_ns)
		(void)poll(&bell, 1, (int)((deadline_ns - now) / NS_PER_MS) + 1);
	audit_queue_reap(engine->queue, flights_stored, engine);
}

void releases_record(struct engine *engine, const struct flight_release *about, size_t count)
{
	uint64_t deadline = clock_monotonic_ns() + RELEASES_RECORD_NS;
	size_t i;

	for (i = 0; i < count; i++) {
		while (flight_record_release(engine, &about[i]) < 0) {
			if (clock_monotonic_ns() >= deadline) {
				log_error(&engine->log,
					  "%zu sockets were closed without a release record: the "
					  "writer of the trail takes no rows",
					  count - i);
				return;
			}
			await_slots(engine, deadline);
		}
	}
	audit_queue_flush(engine->queue, true);
}

struct closing {
	struct engine *engine;
	uint32_t reason;
	struct flight_release *about;
	size_t count;
};

static void close_one(void *owner, struct guest_socket *socket)
{
	struct closing *closing = owner;
	struct flight_release about;

	socket_close(closing->engine, socket, closing->reason, &about);
	if (closing->about)
		closing->about[closing->count++] = about;
}

/* Ends every call that waits on a socket: doing so may remove sockets, so it comes before the walk.
 */
static void end_all_waits(struct engine *engine)
{
	size_t i;

	for (i = 0; i < COMMAND_SLOTS; i++)
		if (engine->flights[i].wait > FLIGHT_BUSY && engine->flights[i].socket)
			waits_end(engine->flights[i].socket);
}

/* Calls that wait for no socket any more, and those whose record is being written. */
static void forget_flights(struct engine *engine)
{
	size_t i;

	for (i = 0; i < COMMAND_SLOTS; i++)
		loop_disarm(engine->loop, &engine->flights[i].timer);
	flights_init(engine);
}

void engine_detach(struct engine *engine, uint32_t reason)
{
	struct closing closing = {.engine = engine, .reason = reason};

	if (!engine->attached)
		return;
	/* From here on nothing is written into the guest's command ring. */
	engine->attached = false;
	/* Descriptors first: the peers see the end at once, however slow the trail is. */
	end_all_waits(engine);
	closing.about = calloc(socket_table_count(engine->sockets) + 1, sizeof(*closing.about));
	socket_table_each(engine->sockets, close_one, &closing);
	connections_unpark(engine);
	engine_close_now(engine);
	forget_flights(engine);
	engine->transport->ops->unbind(engine->transport, engine->command_port);
	engine->transport->ops->unmap(engine->transport, engine->ring.page, 1);
	engine->ring.page = NULL;
	engine->ring_due = false;
	engine->ring_masked = false;
	engine->respond_due = false;
	releases_record(engine, closing.about, closing.count);
	free(closing.about);
}
