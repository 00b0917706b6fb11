/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/lifecycle/take_over.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "call/wire_errno.h"
#include "engine/lifecycle/engine.h"
#include "ring/data_ring.h"

/* What the former engine left, copied: the recovery log begins anew before anything is answered. */
struct left_over {
	struct recovery_log_request requests[COMMAND_SLOTS];
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

static bool take_over_is_of(const struct recovery_log_page *page,
			    const struct engine_attach_args *args)
{
	return page && page->version == RECOVERY_LOG_VERSION && page->ring_ref == args->ring_ref &&
	       page->port == args->port && page->req_cons - page->rsp_prod <= COMMAND_SLOTS;
}

static void take_over_read(const struct engine *engine, struct left_over *left)
{
	const struct recovery_log *log = &engine->recovery_log;
	const struct recovery_log_page *page = log->page;
	uint32_t i;

	for (i = 0; i < COMMAND_SLOTS; i++)
		if (take_over_is_open(page, &page->requests[i]))
			left->requests[left->request_count++] = page->requests[i];
	left->sockets = calloc(log->sockets, sizeof(*left->sockets));
	if (!left->sockets) {
		log_error(&engine->log, "no memory to reset the connections of the former engine");
		return;
	}
	for (i = 0; i < log->sockets; i++)
		if (page->sockets[i].used)
			left->sockets[left->socket_count++] = page->sockets[i];
}

static void take_over_answer(struct command_ring *ring, const struct recovery_log_request *request)
{
	struct wire_response response = {
		.req_id = request->req_id,
		.cmd = request->cmd,
		.ret = wire_errno(take_over_lost_result(request->cmd)),
		.id = request->id,
	};

	if (ring->rsp_prod != ring->req_cons)
		command_ring_push(ring, &response);
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
	for (i = 0; i < left.request_count; i++)
		take_over_answer(ring, &left.requests[i]);
	for (i = 0; i < left.socket_count; i++)
		take_over_reset(engine, &left.sockets[i]);
	command_ring_publish(ring);
	engine->transport->ops->notify(engine->transport, engine->calls.command_port);
	recovery_log_begin(log, args->ring_ref, args->port, ring->req_cons, ring->rsp_prod);
	log_info(&engine->log,
		 "took over from an engine that ended: %u calls answered with an error, %u "
		 "connections reset",
		 left.request_count, left.socket_count);
	free(left.sockets);
}
