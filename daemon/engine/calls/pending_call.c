/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/calls/pending_call.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "engine/calls/calls.h"

void pending_calls_init(struct calls *calls)
{
	size_t i;

	calls->free = NULL;
	for (i = 0; i < COMMAND_SLOTS; i++) {
		struct pending_call *pending = &calls->pending[i];

		loop_disarm(calls->loop, &pending->timer);
		memset(pending, 0, sizeof(*pending));
		pending->calls = calls;
		pending->next_free = calls->free;
		calls->free = pending;
	}
}

struct pending_call *pending_call_new(struct calls *calls)
{
	struct pending_call *pending = calls->free;

	/* The ring has as many slots and gives out none before its response. */
	ASSERT(pending && !pending->in_use);
	calls->free = pending->next_free;
	memset(pending, 0, sizeof(*pending));
	pending->calls = calls;
	pending->in_use = true;
	pending->peer_fd = -1;
	pending->spare_slot = PENDING_CALL_NO_SLOT;
	return pending;
}

void pending_call_free(struct pending_call *pending)
{
	struct calls *calls = pending->calls;

	ASSERT(pending->in_use && pending->call.state == CALL_DONE);
	ASSERT(!pending->socket && !pending->reserved && pending->peer_fd < 0);
	ASSERT(!pending->timer.heap_slot && !pending->meter_in && !pending->meter_out);
	ASSERT(pending->spare_slot == PENDING_CALL_NO_SLOT);
	pending->in_use = false;
	pending->next_free = calls->free;
	calls->free = pending;
}

uint32_t pending_call_number(const struct pending_call *pending)
{
	return (uint32_t)(pending - pending->calls->pending);
}

/* What a call is answered that comes to a socket which another one holds. */
static int pending_call_held_error(const struct pending_call *pending,
				   const struct pending_call *holder)
{
	if (holder->call.op == PVCALLS_OP_RELEASE)
		return -EBADF; /* close(2) was called */
	if (pending->call.op == PVCALLS_OP_CONNECT && holder->call.op == PVCALLS_OP_CONNECT)
		return -EALREADY; /* connect(2): a previous attempt has not been completed */
	return -EINVAL;
}

int pending_call_find(struct pending_call *pending)
{
	struct guest_socket *socket = socket_table_find(pending->calls->sockets, pending->call.id);

	ASSERT(!pending->socket && pending->call.state == CALL_TAKEN);
	if (!socket || socket->state == SOCKET_KILLED)
		return -EINVAL;
	if (socket->holder)
		return pending_call_held_error(pending, socket->holder);
	pending->socket = socket;
	pending->view.socket = socket->number;
	pending->view.parent = socket->parent;
	pending->view.local = socket->local;
	return 0;
}

int pending_call_hold(struct pending_call *pending)
{
	int error = pending_call_find(pending);

	if (!error)
		pending->socket->holder = pending;
	return error;
}

void pending_call_let_go(struct pending_call *pending)
{
	if (pending->socket && pending->socket->holder == pending)
		pending->socket->holder = NULL;
	pending->socket = NULL;
	if (!pending->reserved)
		return;
	ASSERT(pending->reserved->holder == pending);
	pending->reserved->holder = NULL;
	pending->reserved = NULL;
}

struct pending_call *pending_call_oldest(struct guest_socket *socket, uint32_t op,
					 enum call_state state)
{
	struct calls *calls = calls_of(socket);
	struct pending_call *oldest = NULL;
	size_t i;

	for (i = 0; i < COMMAND_SLOTS; i++) {
		struct pending_call *pending = &calls->pending[i];

		if (pending->in_use && pending->socket == socket && pending->call.op == op &&
		    pending->call.state == state &&
		    (!oldest || pending->call.serial < oldest->call.serial))
			oldest = pending;
	}
	return oldest;
}

bool pending_call_concerns(const struct pending_call *pending, const struct guest_socket *socket)
{
	return pending->in_use && (pending->socket == socket || pending->reserved == socket);
}

int pending_call_expire_after(struct pending_call *pending, uint64_t ns)
{
	struct calls *calls = pending->calls;

	ASSERT(pending->in_use && pending->call.state != CALL_DONE);
	pending->expired = false;
	return loop_arm(calls->loop, &pending->timer, loop_now_ns(calls->loop) + ns,
			calls->call_expired, pending);
}
