/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/lifecycle/take_over.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "call/wire_errno.h"
#include "engine/calls/parking.h"
#include "engine/lifecycle/engine.h"
#include "ring/data_ring.h"

/* What the former engine left, copied: the recovery log begins anew before anything is answered. */
struct left_over {
	struct recovery_log_request *requests; /* RECOVERY_LOG_REQUESTS; those that end are free */
	uint32_t request_count;
	struct recovery_log_socket *sockets;
	uint32_t socket_count;
};

/* The answer to a call whose outcome nobody knows any more. */
static int take_over_lost_result(uint32_t cmd)
{
	switch (cmd) {
	case WIRE_RELEASE:
		return 0; /* what it releases is gone */
	case WIRE_CONNECT:
	case WIRE_ACCEPT:
		return -ECONNABORTED;
	default:
		return -EIO;
	}
}

static bool take_over_is_open(const struct recovery_log_page *page,
			      const struct recovery_log_request *request)
{
	switch (request->state) {
	case RECOVERY_LOG_TAKEN: /* otherwise it is on the ring still */
		return (int32_t)(page->req_cons - request->index) > 0;
	case RECOVERY_LOG_ANSWERED: /* otherwise the response was not counted: it is given again */
		return (int32_t)(page->rsp_prod - request->index) <= 0;
	default:
		return false;
	}
}

/* Whether it was answered as parked, so that only a COLLECT can be answered with its outcome. */
static bool take_over_is_parked(const struct recovery_log_page *page,
				const struct recovery_log_request *request)
{
	switch (request->parked) {
	case RECOVERY_LOG_PARKING:
		return (int32_t)(page->rsp_prod - request->parked_at) > 0;
	case RECOVERY_LOG_PARKED:
		return true;
	default:
		return false;
	}
}

static bool take_over_is_of(const struct recovery_log_page *page,
			    const struct engine_attach_args *args)
{
	return page && page->version == RECOVERY_LOG_VERSION && page->ring_ref == args->ring_ref &&
	       page->port == args->port && page->req_cons - page->rsp_prod <= COMMAND_SLOTS;
}

static void take_over_read_requests(const struct recovery_log_page *page, struct left_over *left)
{
	uint32_t i;

	for (i = 0; i < RECOVERY_LOG_REQUESTS; i++) {
		struct recovery_log_request *request = &left->requests[i];

		*request = page->requests[i];
		if (!take_over_is_open(page, request)) {
			request->state = RECOVERY_LOG_FREE;
			continue;
		}
		request->parked = take_over_is_parked(page, request);
		left->request_count += i < PARKED_MAX;
	}
}

static void take_over_read(const struct engine *engine, struct left_over *left)
{
	const struct recovery_log *log = &engine->recovery_log;
	uint32_t i;

	left->requests = calloc(RECOVERY_LOG_REQUESTS, sizeof(*left->requests));
	left->sockets = calloc(log->sockets, sizeof(*left->sockets));
	if (!left->requests || !left->sockets) {
		log_error(&engine->log, "no memory for the calls and connections of the former "
					"engine: they are not ended");
		return;
	}
	take_over_read_requests(log->page, left);
	for (i = 0; i < log->sockets; i++)
		if (log->page->sockets[i].used)
			left->sockets[left->socket_count++] = log->page->sockets[i];
}

/* Answers what has a slot of the ring. */
static void take_over_answer(struct command_ring *ring, const struct left_over *left)
{
	uint32_t i;

	for (i = 0; left->requests && i < PARKED_MAX; i++) {
		const struct recovery_log_request *request = &left->requests[i];
		struct wire_response response = {
			.req_id = request->req_id,
			.cmd = request->cmd,
			.ret = wire_errno(take_over_lost_result(request->cmd)),
			.id = request->id,
		};

		if (request->state != RECOVERY_LOG_FREE && !request->parked &&
		    ring->rsp_prod != ring->req_cons)
			command_ring_push(ring, &response);
	}
}

/* What had none is told to COLLECTs: those that the former engine had, or those that come. */
static void take_over_parked(struct calls *calls, const struct left_over *left)
{
	uint32_t i;

	for (i = RECOVERY_LOG_REQUESTS; left->requests && calls->parks && i-- > 0;) {
		const struct recovery_log_request *from = &left->requests[i];
		const struct wire_request request = {
			.req_id = from->req_id, .cmd = from->cmd, .id = from->id};

		if (from->state == RECOVERY_LOG_FREE)
			continue;
		/* The log is not believed: each one that waits has a slot. */
		if (i >= PARKED_MAX && calls->collects_taken - calls->collects_answered <
					       calls->ring.req_cons - calls->ring.rsp_prod)
			parking_collect(calls, &request);
		else if (i < PARKED_MAX && from->parked && from->ticket % PARKED_MAX == i)
			parking_restore(calls, &request, from->ticket,
					take_over_lost_result(from->cmd));
	}
}

/* Whoever reads from the socket or writes to it in the guest learns that it is gone. */
static void take_over_reset(struct engine *engine, const struct recovery_log_socket *socket)
{
	const struct transport_ops *ops = engine->transport->ops;
	void *page;
	uint32_t port;

	if (ops->map(engine->transport, &socket->ref, 1, &page))
		return;
	data_ring_reset(page, wire_errno(-ECONNRESET));
	if (ops->bind(engine->transport, socket->port, &port) == 0) {
		ops->notify(engine->transport, port);
		ops->unbind(engine->transport, port);
	}
	ops->unmap(engine->transport, page, 1);
}

void take_over(struct engine *engine, const struct engine_attach_args *args)
{
	struct recovery_log *log = &engine->recovery_log;
	struct command_ring *ring = &engine->calls.ring;
	struct left_over left = {.request_count = 0};
	uint32_t i;

	ASSERT(ring->page && !engine->calls.attached);
	command_ring_take_over(ring);
	if (take_over_is_of(log->page, args)) {
		ring->req_cons = log->page->req_cons;
		ring->rsp_prod = log->page->rsp_prod;
		take_over_read(engine, &left);
	}
	take_over_answer(ring, &left);
	for (i = 0; i < left.socket_count; i++)
		take_over_reset(engine, &left.sockets[i]);
	recovery_log_begin(log, args->ring_ref, args->port, ring->req_cons, ring->rsp_prod);
	take_over_parked(&engine->calls, &left);
	command_ring_publish(ring);
	engine->transport->ops->notify(engine->transport, engine->calls.command_port);
	log_info(&engine->log,
		 "took over from an engine that ended: %u calls answered with an error, %u "
		 "connections reset",
		 left.request_count, left.socket_count);
	free(left.requests);
	free(left.sockets);
}
