/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/calls/pending_call.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "engine/calls/calls.h"

/* Puts a pending call among the free ones. */
static void pending_call_discard(struct calls *calls, struct pending_call *pending)
{
	pending->in_use = false;
	pending->next_free = calls->table.free;
	calls->table.free = pending;
}

/* Another block of pending calls. Returns 0, -ENOMEM, or -ENOSPC if there are PARKED_MAX. */
static int pending_calls_grow(struct calls *calls)
{
	struct pending_table *table = &calls->table;
	struct pending_call *block;
	uint32_t i;

	if (table->size == PARKED_MAX)
		return -ENOSPC;
	block = calloc(PENDING_CALLS_BLOCK, sizeof(*block));
	if (!block)
		return -ENOMEM;
	table->block[table->size / PENDING_CALLS_BLOCK] = block;
	for (i = PENDING_CALLS_BLOCK; i-- > 0;) {
		block[i].number = table->size + i;
		pending_call_discard(calls, &block[i]);
	}
	table->size += PENDING_CALLS_BLOCK;
	return 0;
}

int pending_calls_open(struct calls *calls)
{
	_Static_assert(PARKED_MAX % PENDING_CALLS_BLOCK == 0, "blocks are whole");
	_Static_assert(PENDING_CALLS_BLOCK >= COMMAND_SLOTS, "one block serves a ring");
	return pending_calls_grow(calls);
}

void pending_calls_reset(struct calls *calls)
{
	struct pending_call *pending;
	uint32_t i;

	calls->in_slots = calls->parked = calls->untold = NULL;
	calls->storing = calls->draining = NULL;
	calls->table.free = NULL;
	calls->table.parked = 0;
	for (i = calls->table.size; i-- > 0;) {
		pending = pending_call_at(calls, i);
		loop_disarm(calls->loop, &pending->timer);
		pending_call_discard(calls, pending);
	}
}

void pending_calls_close(struct calls *calls)
{
	uint32_t i;

	for (i = 0; i < PENDING_CALLS_BLOCKS; i++)
		free(calls->table.block[i]);
	calls->table = (struct pending_table){.size = 0};
}

struct pending_call *pending_call_at(const struct calls *calls, uint32_t number)
{
	struct pending_call *block;

	if (number >= calls->table.size)
		return NULL;
	block = calls->table.block[number / PENDING_CALLS_BLOCK];
	return &block[number % PENDING_CALLS_BLOCK];
}

/* A free pending call is in use from now on. */
static void pending_call_begin(struct calls *calls, struct pending_call *pending)
{
	uint32_t number = pending->number;

	ASSERT(!pending->in_use);
	memset(pending, 0, sizeof(*pending));
	pending->calls = calls;
	pending->number = number;
	pending->place.call = pending->wait.call = pending;
	pending->in_use = true;
	pending->peer_fd = -1;
	pending->spare_slot = PENDING_CALL_NO_SLOT;
}

struct pending_call *pending_call_new(struct calls *calls)
{
	struct pending_call *pending = calls->table.free;

	/* The ring gives out no slot before its response, or before its call was parked. */
	ASSERT(pending);
	calls->table.free = pending->next_free;
	pending_call_begin(calls, pending);
	pending_list_add(&calls->in_slots, &pending->place);
	return pending;
}

struct pending_call *pending_call_restore(struct calls *calls, uint32_t number)
{
	struct pending_call **at;

	while (number >= calls->table.size || !pending_calls_have_room(calls))
		if (pending_calls_grow(calls))
			return NULL;
	for (at = &calls->table.free; *at && (*at)->number != number; at = &(*at)->next_free)
		;
	if (!*at)
		return NULL;
	*at = (*at)->next_free;
	pending_call_begin(calls, pending_call_at(calls, number));
	return pending_call_at(calls, number);
}

void pending_call_free(struct pending_call *pending)
{
	struct calls *calls = pending->calls;

	ASSERT(pending->in_use && pending->call.state == CALL_DONE);
	ASSERT(!pending->socket && !pending->reserved && pending->peer_fd < 0);
	ASSERT(!pending->timer.heap_slot && !pending->meter_in && !pending->meter_out);
	ASSERT(pending->spare_slot == PENDING_CALL_NO_SLOT && !pending->wait.list);
	ASSERT(calls->table.parked >= pending->is_parked);
	calls->table.parked -= pending->is_parked;
	pending_list_remove(&pending->place);
	pending_call_discard(calls, pending);
}

bool pending_calls_have_room(struct calls *calls)
{
	const struct pending_table *table = &calls->table;

	return table->size - table->parked > COMMAND_SLOTS || !pending_calls_grow(calls);
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

static int pending_call_find(struct pending_call *pending)
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

int pending_call_wait_at(struct pending_call *pending)
{
	int error = pending_call_find(pending);

	if (!error)
		pending_list_add(&pending->socket->waiting, &pending->wait);
	return error;
}

void pending_call_requeue(struct pending_call *pending)
{
	ASSERT(pending->socket && pending->wait.list == &pending->socket->waiting);
	pending_list_remove(&pending->wait);
	pending_list_add(&pending->socket->waiting, &pending->wait);
}

void pending_call_let_go(struct pending_call *pending)
{
	pending_list_remove(&pending->wait);
	if (pending->socket && pending->socket->holder == pending)
		pending->socket->holder = NULL;
	pending->socket = NULL;
	if (!pending->reserved)
		return;
	ASSERT(pending->reserved->holder == pending);
	pending->reserved->holder = NULL;
	pending->reserved = NULL;
}

struct pending_call *pending_call_oldest(const struct guest_socket *socket, uint32_t op,
					 enum call_state state)
{
	struct pending_link *link = socket->waiting;

	while (link && (link->call->call.op != op || link->call->call.state != state))
		link = pending_list_next(link);
	return link ? link->call : NULL;
}

int pending_call_expire_after(struct pending_call *pending, uint64_t ns)
{
	struct calls *calls = pending->calls;

	ASSERT(pending->in_use && pending->call.state != CALL_DONE);
	pending->expired = false;
	return loop_arm(calls->loop, &pending->timer, loop_now_ns(calls->loop) + ns,
			calls->call_expired, pending);
}
