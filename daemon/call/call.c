/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of the seven operations, and how a copied request becomes a struct call. */
#include "call/call.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "call/wire_errno.h"

#define GUEST_AF_INET     2u
#define GUEST_SOCK_STREAM 1u
#define GUEST_IPPROTO_TCP 6u

#define SOCKADDR_IN_BYTES 16u

/*
 * A sockaddr_in of the wire: family (guest's byte order, little endian), port and address (network
 * order). The specification's 28 bytes are more than it needs; Linux frontends leave the rest
 * stale.
 */
static int call_decode_address(struct pvcalls_endpoint *endpoint,
			       const uint8_t addr[WIRE_ADDR_BYTES], uint32_t len)
{
	if (len < SOCKADDR_IN_BYTES || len > WIRE_ADDR_BYTES)
		return -EINVAL;
	if ((addr[0] | addr[1] << 8) != GUEST_AF_INET)
		return -EAFNOSUPPORT;
	endpoint->family = GUEST_AF_INET;
	endpoint->port = (uint16_t)(addr[2] << 8 | addr[3]);
	memcpy(endpoint->addr, addr + 4, 4);
	return 0;
}

static int call_decode_socket(struct call *call, const struct wire_request *request)
{
	(void)call;
	if (request->u.socket.domain != GUEST_AF_INET ||
	    request->u.socket.type != GUEST_SOCK_STREAM)
		return -EAFNOSUPPORT;
	if (request->u.socket.protocol != 0 && request->u.socket.protocol != GUEST_IPPROTO_TCP)
		return -EAFNOSUPPORT;
	return 0;
}

static int call_decode_connect(struct call *call, const struct wire_request *request)
{
	call->ref = request->u.connect.ref;
	call->evtchn = request->u.connect.evtchn;
	return call_decode_address(&call->requested, request->u.connect.addr,
				   request->u.connect.len);
}

static int call_decode_bind(struct call *call, const struct wire_request *request)
{
	return call_decode_address(&call->requested, request->u.bind.addr, request->u.bind.len);
}

static int call_decode_listen(struct call *call, const struct wire_request *request)
{
	uint32_t backlog = request->u.listen.backlog;

	call->backlog = backlog < CALL_BACKLOG_MAX ? backlog : CALL_BACKLOG_MAX;
	return 0;
}

static int call_decode_accept(struct call *call, const struct wire_request *request)
{
	call->id_new = request->u.accept.id_new;
	call->ref = request->u.accept.ref;
	call->evtchn = request->u.accept.evtchn;
	return 0;
}

/* A hint, and Linux frontends leave it uninitialised: see engine/connections/mapping_cache.h. */
static int call_decode_release(struct call *call, const struct wire_request *request)
{
	call->reuse = request->u.release.reuse == 1;
	return 0;
}

static int call_decode_id_only(struct call *call, const struct wire_request *request)
{
	(void)call;
	(void)request;
	return 0;
}

static int call_decode_unknown(struct call *call, const struct wire_request *request)
{
	(void)call;
	(void)request;
	return -WIRE_ENOTSUP;
}

/* clang-format off */
const struct call_operation call_operations[PVCALLS_OP_COUNT + 1] = {
	/*                     name       decode          names_endpoint default_allows always_runs */
	[PVCALLS_OP_SOCKET]  = {"socket",  call_decode_socket,  false, true,  false},
	[PVCALLS_OP_CONNECT] = {"connect", call_decode_connect, true,  false, false},
	[PVCALLS_OP_RELEASE] = {"release", call_decode_release, false, true,  true},
	[PVCALLS_OP_BIND]    = {"bind",    call_decode_bind,    true,  false, false},
	[PVCALLS_OP_LISTEN]  = {"listen",  call_decode_listen,  false, false, false},
	[PVCALLS_OP_ACCEPT]  = {"accept",  call_decode_accept,  false, false, false},
	[PVCALLS_OP_POLL]    = {"poll",    call_decode_id_only, false, true,  false},
	[CALL_OP_UNKNOWN]    = {"unknown", call_decode_unknown, false, false, false},
};
/* clang-format on */

_Static_assert(PVCALLS_OP_SOCKET == WIRE_SOCKET && PVCALLS_OP_CONNECT == WIRE_CONNECT &&
		       PVCALLS_OP_RELEASE == WIRE_RELEASE && PVCALLS_OP_BIND == WIRE_BIND &&
		       PVCALLS_OP_LISTEN == WIRE_LISTEN && PVCALLS_OP_ACCEPT == WIRE_ACCEPT &&
		       PVCALLS_OP_POLL == WIRE_POLL,
	       "operations are numbered as on the wire");

void call_decode(struct call *call, const struct wire_request *request)
{
	memset(call, 0, sizeof(*call));
	call->state = CALL_TAKEN;
	call->op = request->cmd < PVCALLS_OP_COUNT ? request->cmd : CALL_OP_UNKNOWN;
	call->req_id = request->req_id;
	call->cmd = request->cmd;
	call->id = request->id;
	call->invalid = call_operations[call->op].decode(call, request);
}

/* The states that may follow each. */
static const uint32_t call_next_states[] = {
	[CALL_TAKEN] = 1u << CALL_PREPARED | 1u << CALL_DECIDED | 1u << CALL_DONE,
	[CALL_PREPARED] = 1u << CALL_DECIDED,
	[CALL_DECIDED] =
		1u << CALL_PREPARED | 1u << CALL_DELAYED | 1u << CALL_RUNNING | 1u << CALL_DONE,
	[CALL_DELAYED] = 1u << CALL_DECIDED | 1u << CALL_RUNNING | 1u << CALL_DONE,
	[CALL_RUNNING] = 1u << CALL_DONE,
	[CALL_DONE] = 0,
};

_Static_assert(sizeof(call_next_states) / sizeof(call_next_states[0]) == CALL_DONE + 1,
	       "every state is in the table");

void call_advance(struct call *call, enum call_state state)
{
	ASSERT(call_next_states[call->state] & 1u << state);
	call->state = state;
}

struct wire_response call_response(const struct call *call, int ret)
{
	struct wire_response response;

	ASSERT(ret <= 0);
	memset(&response, 0, sizeof(response));
	response.req_id = call->req_id;
	response.cmd = call->cmd;
	response.ret = wire_errno(ret);
	response.id = call->id;
	return response;
}
