/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/adopt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "call/wire_errno.h"
#include "engine/engine.h"
#include "ring/data_ring.h"

/* What the former engine left, copied: the recovery log begins anew before anything is answered. */
struct legacy {
	struct recovery_log_request requests[COMMAND_SLOTS];
	uint32_t request_count;
	struct recovery_log_socket *sockets;
	uint32_t socket_count;
};

/* The answer to a call whose outcome nobody knows any more. */
static int lost_result(uint32_t cmd)
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

static bool is_open(const struct recovery_log_page *page,
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

static bool is_of(const struct recovery_log_page *page, const struct engine_attach_args *attach)
{
	return page && page->version == RECOVERY_LOG_VERSION &&
	       page->ring_ref == attach->ring_ref && page->port == attach->port &&
	       page->req_cons - page->rsp_prod <= COMMAND_SLOTS;
}

static void read_legacy(const struct recovery_log *log, struct legacy *legacy)
{
	const struct recovery_log_page *page = log->page;
	uint32_t i;

	for (i = 0; i < COMMAND_SLOTS; i++)
		if (is_open(page, &page->requests[i]))
			legacy->requests[legacy->request_count++] = page->requests[i];
	legacy->sockets = calloc(log->sockets, sizeof(*legacy->sockets));
	if (!legacy->sockets)
		return;
	for (i = 0; i < log->sockets; i++)
		if (page->sockets[i].used)
			legacy->sockets[legacy->socket_count++] = page->sockets[i];
}

static void answer(struct engine *engine, const struct recovery_log_request *request)
{
	struct wire_response response = {
		.req_id = request->req_id,
		.cmd = request->cmd,
		.ret = wire_errno(lost_result(request->cmd)),
		.id = request->id,
	};

	if (engine->ring.rsp_prod != engine->ring.req_cons)
		command_ring_push(&engine->ring, &response);
}

/* Whoever reads from the socket or writes to it in the guest learns that it is gone. */
static void reset(struct engine *engine, const struct recovery_log_socket *socket)
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

void engine_adopt(struct engine *engine, const struct engine_attach_args *attach)
{
	struct recovery_log *log = &engine->recovery_log;
	struct command_ring *ring = &engine->ring;
	struct legacy legacy = {.request_count = 0};
	uint32_t i;

	command_ring_adopt(ring);
	if (is_of(log->page, attach)) {
		ring->req_cons = log->page->req_cons;
		ring->rsp_prod = log->page->rsp_prod;
		read_legacy(log, &legacy);
	}
	for (i = 0; i < legacy.request_count; i++)
		answer(engine, &legacy.requests[i]);
	for (i = 0; i < legacy.socket_count; i++)
		reset(engine, &legacy.sockets[i]);
	command_ring_publish(ring);
	engine->transport->ops->notify(engine->transport, engine->command_port);
	recovery_log_begin(log, attach->ring_ref, attach->port, ring->req_cons, ring->rsp_prod);
	log_info(&engine->log,
		 "took over from an engine that ended: %u calls answered with an error, %u "
		 "connections reset",
		 legacy.request_count, legacy.socket_count);
	free(legacy.sockets);
}
