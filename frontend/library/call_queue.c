/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "library/call_queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "library/front_socket.h"

#define CALLS_PER_BLOCK 64
#define SLOT_BITS       5u

_Static_assert(1u << SLOT_BITS == COMMAND_SLOTS, "a slot's number fits its bits of req_id");

struct call_block {
	struct call_block *next;
	struct front_call call[CALLS_PER_BLOCK];
};

static int call_queue_grow(struct call_queue *queue)
{
	struct call_block *block = calloc(1, sizeof(*block));
	int i;

	if (!block)
		return -ENOMEM;
	block->next = queue->blocks;
	queue->blocks = block;
	for (i = 0; i < CALLS_PER_BLOCK; i++)
		call_queue_free_call(queue, &block->call[i]);
	return 0;
}

void call_queue_free(struct call_queue *queue)
{
	while (queue->blocks) {
		struct call_block *block = queue->blocks;

		queue->blocks = block->next;
		free(block);
	}
	free(queue->parked);
}

struct front_call *call_queue_new_call(struct call_queue *queue,
				       struct pvcalls_front_socket *socket, uint32_t cmd,
				       pvcalls_front_done done, void *context)
{
	struct front_call *call;

	if (!queue->free && call_queue_grow(queue))
		return NULL;
	call = queue->free;
	queue->free = call->next;
	*call = (struct front_call){.socket = socket,
				    .done = done,
				    .context = context,
				    .request = {.cmd = cmd, .id = socket->id}};
	return call;
}

void call_queue_free_call(struct call_queue *queue, struct front_call *call)
{
	call->next = queue->free;
	queue->free = call;
}

/* What its answer waits for. */
static enum call_wait call_queue_wait_of(const struct front_call *call)
{
	switch (call->request.cmd) {
	case WIRE_CONNECT:
		return CALL_WAIT_NETWORK;
	case WIRE_ACCEPT:
	case WIRE_POLL:
		return CALL_WAIT_PEER;
	default:
		return CALL_WAIT_NONE;
	}
}

void call_queue_add(struct call_queue *queue, struct front_call *call)
{
	struct call_list *list = &queue->lists[call_queue_wait_of(call)];

	ASSERT(!queue->failed);
	call->socket->calls++;
	call->next = NULL;
	if (list->first)
		list->last->next = call;
	else
		list->first = call;
	list->last = call;
}

/* Takes the call behind this one (NULL: the first) out of the list; NULL: there is none. */
static struct front_call *call_queue_unlink(struct call_list *list, struct front_call *before)
{
	struct front_call *call = before ? before->next : list->first;

	if (!call)
		return NULL;
	if (before)
		before->next = call->next;
	else
		list->first = call->next;
	if (list->last == call)
		list->last = before;
	return call;
}

static struct front_call *call_queue_pop(struct call_list *list)
{
	return call_queue_unlink(list, NULL);
}

static void call_queue_cancel(struct call_queue *queue, struct front_call *call, int error)
{
	struct wire_response response = {.ret = error};

	queue->settle(call, &response);
}

static void call_queue_push_one(struct call_queue *queue, struct front_call *call)
{
	uint32_t slot = 0;

	while (slot < COMMAND_SLOTS && queue->in_flight[slot])
		slot++;
	ASSERT(slot < COMMAND_SLOTS);
	call->request.req_id = queue->tickets++ << SLOT_BITS | slot;
	queue->in_flight[slot] = call;
	queue->in_flight_id[slot] = call->request.req_id;
	queue->waiting[call_queue_wait_of(call)]++;
	if (call->request.cmd == WIRE_ACCEPT)
		call->socket->accepts++;
	command_front_push(&queue->ring, &call->request);
}

/* The oldest ACCEPT or POLL whose listener has no ACCEPT in flight, or any if there is plenty. */
static struct front_call *call_queue_next_accept(struct call_queue *queue)
{
	struct call_list *list = &queue->lists[CALL_WAIT_PEER];
	struct front_call *before = NULL;
	struct front_call *call;

	if (queue->parks || queue->waiting[CALL_WAIT_PEER] < CALLS_SPARE_MAX)
		return call_queue_pop(list);
	if (queue->waiting[CALL_WAIT_PEER] >= CALLS_ACCEPT_MAX)
		return NULL;
	for (call = list->first; call && call->socket->accepts && !call->socket->released;
	     call = call->next)
		before = call;
	return call_queue_unlink(list, before);
}

static struct front_call *call_queue_next_connect(struct call_queue *queue)
{
	if (!queue->parks && queue->waiting[CALL_WAIT_NETWORK] >= CALLS_CONNECT_MAX)
		return NULL;
	return call_queue_pop(&queue->lists[CALL_WAIT_NETWORK]);
}

/* The next call that there is a slot for. */
static struct front_call *call_queue_next_of_all(struct call_queue *queue)
{
	struct front_call *call = call_queue_pop(&queue->lists[CALL_WAIT_NONE]);

	if (call ||
	    queue->waiting[CALL_WAIT_NETWORK] + queue->waiting[CALL_WAIT_PEER] >= CALLS_LONG_MAX)
		return call;
	call = call_queue_next_accept(queue);
	return call ? call : call_queue_next_connect(queue);
}

/* The next call that may go out; calls of released sockets, but RELEASE, are not worth a slot. */
static struct front_call *call_queue_next(struct call_queue *queue)
{
	struct front_call *call;

	while ((call = call_queue_next_of_all(queue))) {
		if (!call->socket->released || call->request.cmd == WIRE_RELEASE)
			break;
		call_queue_cancel(queue, call, -ECANCELED);
	}
	return call;
}

/* The backend can tell of no more outcomes than there are COLLECTs. */
static void call_queue_push_collects(struct call_queue *queue)
{
	queue->collect.request.cmd = WIRE_COLLECT;
	while (queue->collects < queue->parked_count && queue->collects < CALLS_COLLECTS_MAX &&
	       !command_front_full(&queue->ring)) {
		call_queue_push_one(queue, &queue->collect);
		queue->collects++;
	}
}

bool call_queue_push(struct call_queue *queue)
{
	struct front_call *call;

	call_queue_push_collects(queue);
	while (!command_front_full(&queue->ring)) {
		call = call_queue_next(queue);
		if (!call)
			break;
		call_queue_push_one(queue, call);
	}
	return command_front_publish(&queue->ring);
}

/* Finds the call a response belongs to and takes it out of flight; NULL: nobody asked. */
static struct front_call *call_queue_match(struct call_queue *queue,
					   const struct wire_response *response)
{
	uint32_t slot = response->req_id & (COMMAND_SLOTS - 1);
	struct front_call *call = queue->in_flight[slot];

	if (!call || queue->in_flight_id[slot] != response->req_id ||
	    call->request.cmd != response->cmd ||
	    (call->request.id != response->id && call != &queue->collect))
		return NULL;
	queue->in_flight[slot] = NULL;
	ASSERT(queue->waiting[call_queue_wait_of(call)] > 0);
	queue->waiting[call_queue_wait_of(call)]--;
	if (call->request.cmd == WIRE_ACCEPT)
		call->socket->accepts--;
	return call;
}

/* Has room for a parked call at this place. Returns 0, -ENOMEM, or -EPROTO if it is taken. */
static int call_queue_grow_parked(struct call_queue *queue, uint32_t place)
{
	uint32_t size = queue->parked_size ? queue->parked_size : COMMAND_SLOTS;
	struct front_call **parked;

	if (place < queue->parked_size)
		return queue->parked[place] ? -EPROTO : 0;
	while (size <= place)
		size *= 2;
	parked = realloc(queue->parked, size * sizeof(struct front_call *));
	if (!parked)
		return -ENOMEM;
	memset(parked + queue->parked_size, 0,
	       (size - queue->parked_size) * sizeof(struct front_call *));
	queue->parked = parked;
	queue->parked_size = size;
	return 0;
}

/* The call has no slot any more. Returns as call_queue_grow_parked(); then it has ended. */
static int call_queue_park(struct call_queue *queue, struct front_call *call, uint32_t ticket)
{
	int error = call_queue_grow_parked(queue, ticket % PARKED_MAX);

	if (error) {
		call_queue_cancel(queue, call, error);
		return error;
	}
	call->ticket = ticket;
	queue->parked[ticket % PARKED_MAX] = call;
	queue->parked_count++;
	return 0;
}

/* The call with this ticket gets its outcome; NULL: none has it. */
static struct front_call *call_queue_unpark(struct call_queue *queue, uint64_t ticket)
{
	uint32_t place = ticket % PARKED_MAX;
	struct front_call *call = place < queue->parked_size ? queue->parked[place] : NULL;

	ASSERT(queue->collects > 0);
	queue->collects--;
	if (!call || call->ticket != ticket)
		return NULL;
	queue->parked[place] = NULL;
	queue->parked_count--;
	return call;
}

/* Takes one response. Returns 0, or -EPROTO or -ENOMEM if it can't be served. */
static int call_queue_take_one(struct call_queue *queue, const struct wire_response *response)
{
	struct front_call *call = call_queue_match(queue, response);

	if (call == &queue->collect)
		call = call_queue_unpark(queue, response->id);
	else if (call && queue->parks && response->ret == -EINPROGRESS)
		return call_queue_park(queue, call, response->pad);
	if (!call)
		return -EPROTO;
	queue->settle(call, response);
	return 0;
}

int call_queue_take(struct call_queue *queue)
{
	struct wire_response response;
	int count = 0;
	int taken;

	do {
		while ((taken = command_front_take(&queue->ring, &response)) > 0) {
			int error = call_queue_take_one(queue, &response);

			if (error)
				return error;
			count++;
			if (queue->failed)
				return count;
		}
		if (taken < 0)
			return taken;
	} while (command_front_final_check(&queue->ring));
	return count;
}

static void call_queue_forget_in(struct front_call *call, const void *context)
{
	for (; call; call = call->next)
		if (call->context == context)
			call->done = NULL;
}

void call_queue_forget(struct call_queue *queue, const void *context)
{
	uint32_t slot;
	size_t list;

	for (slot = 0; slot < queue->parked_size; slot++)
		if (queue->parked[slot] && queue->parked[slot]->context == context)
			queue->parked[slot]->done = NULL;
	for (slot = 0; slot < COMMAND_SLOTS; slot++)
		if (queue->in_flight[slot] && queue->in_flight[slot]->context == context)
			queue->in_flight[slot]->done = NULL;
	for (list = 0; list < CALL_WAITS_COUNT; list++)
		call_queue_forget_in(queue->lists[list].first, context);
}

void call_queue_fail(struct call_queue *queue, int error)
{
	struct front_call *call;
	uint32_t slot;
	size_t list;

	queue->failed = true;
	for (slot = 0; slot < COMMAND_SLOTS; slot++) {
		call = queue->in_flight[slot];
		queue->in_flight[slot] = NULL;
		if (call && call != &queue->collect)
			call_queue_cancel(queue, call, error);
	}
	for (slot = 0; slot < queue->parked_size; slot++) {
		call = queue->parked[slot];
		queue->parked[slot] = NULL;
		if (call)
			call_queue_cancel(queue, call, error);
	}
	for (list = 0; list < CALL_WAITS_COUNT; list++)
		while ((call = call_queue_pop(&queue->lists[list])))
			call_queue_cancel(queue, call, error);
}
