/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls on their way to the backend and back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "calls.h"
#include "sockets.h"

#define CALLS_PER_BLOCK 64
#define SLOT_BITS       5u

_Static_assert(1u << SLOT_BITS == COMMAND_SLOTS, "a slot's number fits its bits of req_id");

struct call_block {
	struct call_block *next;
	struct front_call call[CALLS_PER_BLOCK];
};

static int more_calls(struct pvcalls_front *front)
{
	struct call_block *block = calloc(1, sizeof(*block));
	int i;

	if (!block)
		return -ENOMEM;
	block->next = front->call_blocks;
	front->call_blocks = block;
	for (i = 0; i < CALLS_PER_BLOCK; i++) {
		block->call[i].next = front->free_calls;
		front->free_calls = &block->call[i];
	}
	return 0;
}

void front_free_calls(struct pvcalls_front *front)
{
	while (front->call_blocks) {
		struct call_block *block = front->call_blocks;

		front->call_blocks = block->next;
		free(block);
	}
}

struct front_call *call_new(struct pvcalls_front_socket *socket, uint32_t cmd,
			    pvcalls_front_done done, void *context)
{
	struct pvcalls_front *front = socket->front;
	struct front_call *call;

	if (!front->free_calls && more_calls(front))
		return NULL;
	call = front->free_calls;
	front->free_calls = call->next;
	*call = (struct front_call){.socket = socket,
				    .done = done,
				    .context = context,
				    .request = {.cmd = cmd, .id = socket->id}};
	return call;
}

void call_free(struct pvcalls_front *front, struct front_call *call)
{
	call->next = front->free_calls;
	front->free_calls = call;
}

static bool is_long(const struct front_call *call)
{
	return call->request.cmd == WIRE_ACCEPT || call->request.cmd == WIRE_POLL;
}

void call_queue(struct front_call *call)
{
	struct pvcalls_front *front = call->socket->front;
	struct call_queue *queue = is_long(call) ? &front->long_queue : &front->queue;

	call->socket->calls++;
	call->next = NULL;
	if (queue->first)
		queue->last->next = call;
	else
		queue->first = call;
	queue->last = call;
}

static struct front_call *queue_pop(struct call_queue *queue)
{
	struct front_call *call = queue->first;

	if (call)
		queue->first = call->next;
	return call;
}

/* The call has its outcome: updates its sockets and tells the caller. Frees the call. */
static void finish(struct pvcalls_front *front, struct front_call *call,
		   const struct wire_response *response)
{
	struct pvcalls_front_socket *socket = call->socket;
	struct pvcalls_front_socket *subject = socket;
	pvcalls_front_done done = call->done;
	void *context = call->context;
	int result = response->ret > 0 || response->ret < -4095 ? -EIO : response->ret;

	switch (call->request.cmd) {
	case WIRE_SOCKET:
		socket->socket_error = result;
		break;
	case WIRE_CONNECT:
		result = socket_connected(socket, result);
		break;
	case WIRE_LISTEN:
		socket->names.local_port = htons((uint16_t)response->pad);
		break;
	case WIRE_ACCEPT:
		subject = socket_accepted(call->accepted, result, socket->released || !done);
		break;
	case WIRE_RELEASE:
		front->releasing--;
		break;
	case WIRE_BIND:
		socket->names.local_port = htons((uint16_t)response->pad);
		result = socket->socket_error ? socket->socket_error : result;
		break;
	default:
		break;
	}
	call_free(front, call);
	/* Still counted, so that a release by the callback does not free the socket yet. */
	if (done && !socket->released)
		done(subject, result, context);
	socket->calls--;
	if (socket->released && !socket->calls)
		socket_free(socket);
}

static void cancel(struct pvcalls_front *front, struct front_call *call, int error)
{
	struct wire_response response = {.ret = error};

	finish(front, call, &response);
}

static void push(struct pvcalls_front *front, struct front_call *call)
{
	uint32_t slot = 0;

	while (front->in_flight[slot])
		slot++;
	call->request.req_id = front->tickets++ << SLOT_BITS | slot;
	front->in_flight[slot] = call;
	front->in_flight_id[slot] = call->request.req_id;
	front->in_flight_long += is_long(call);
	command_front_push(&front->command, &call->request);
}

/* The next call that may go out; calls of released sockets, but RELEASE, are not worth a slot. */
static struct front_call *next_call(struct pvcalls_front *front)
{
	struct front_call *call;

	for (;;) {
		call = queue_pop(&front->queue);
		if (!call && front->in_flight_long < LONG_CALLS_MAX)
			call = queue_pop(&front->long_queue);
		if (!call || !call->socket->released || call->request.cmd == WIRE_RELEASE)
			return call;
		cancel(front, call, -ECANCELED);
	}
}

void front_flush(struct pvcalls_front *front)
{
	struct front_call *call;

	if (front->corked || front->dispatching || front->error)
		return;
	while (!command_front_full(&front->command)) {
		call = next_call(front);
		if (!call)
			break;
		push(front, call);
	}
	if (command_front_publish(&front->command))
		front->transport->ops->notify(front->transport, front->command_port);
}

/* Finds the call a response belongs to and takes it out of flight; NULL: nobody asked. */
static struct front_call *match(struct pvcalls_front *front, const struct wire_response *response)
{
	uint32_t slot = response->req_id & (COMMAND_SLOTS - 1);
	struct front_call *call = front->in_flight[slot];

	if (!call || front->in_flight_id[slot] != response->req_id ||
	    call->request.cmd != response->cmd || call->request.id != response->id)
		return NULL;
	front->in_flight[slot] = NULL;
	front->in_flight_long -= is_long(call);
	return call;
}

int front_take_responses(struct pvcalls_front *front)
{
	struct wire_response response;
	int count = 0;
	int taken;

	do {
		while ((taken = command_front_take(&front->command, &response)) > 0) {
			struct front_call *call = match(front, &response);

			if (!call) {
				taken = -EPROTO;
				break;
			}
			finish(front, call, &response);
			count++;
			if (front->error)
				return count;
		}
		if (taken < 0) {
			front_fail(front, taken);
			return count;
		}
	} while (command_front_final_check(&front->command));
	return count;
}

static void forget_in(struct front_call *call, const void *context)
{
	for (; call; call = call->next)
		if (call->context == context)
			call->done = NULL;
}

void calls_forget(struct pvcalls_front *front, const void *context)
{
	uint32_t slot;

	for (slot = 0; slot < COMMAND_SLOTS; slot++)
		if (front->in_flight[slot] && front->in_flight[slot]->context == context)
			front->in_flight[slot]->done = NULL;
	forget_in(front->queue.first, context);
	forget_in(front->long_queue.first, context);
}

void calls_fail(struct pvcalls_front *front, int error)
{
	struct front_call *call;
	uint32_t slot;

	for (slot = 0; slot < COMMAND_SLOTS; slot++) {
		call = front->in_flight[slot];
		front->in_flight[slot] = NULL;
		if (call)
			cancel(front, call, error);
	}
	while ((call = queue_pop(&front->queue)) || (call = queue_pop(&front->long_queue)))
		cancel(front, call, error);
}
