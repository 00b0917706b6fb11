/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "library/front_socket.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"
#include "library/front.h"
#include "library/front_names.h"

struct pvcalls_front_socket *front_socket_new(struct pvcalls_front *front, uint32_t order)
{
	struct pvcalls_front_socket *socket = front->free_sockets;

	if (socket)
		front->free_sockets = socket->next;
	else
		socket = malloc(sizeof(*socket));
	if (!socket)
		return NULL;
	*socket = (struct pvcalls_front_socket){
		.front = front, .id = front->next_id++, .order = order, .next = front->sockets};
	if (front->sockets)
		front->sockets->previous = socket;
	front->sockets = socket;
	return socket;
}

int front_socket_take_ring(struct pvcalls_front_socket *socket)
{
	struct pvcalls_front *front = socket->front;
	int error;

	ASSERT(!socket->ring);
	error = ring_pool_take(&front->pool, socket->order, &socket->ring);
	if (error)
		return error;
	ASSERT(!front->by_port[socket->ring->port]);
	socket->order = socket->ring->order;
	front->by_port[socket->ring->port] = socket;
	return 0;
}

static void front_socket_give_ring(struct pvcalls_front_socket *socket)
{
	struct pvcalls_front *front = socket->front;

	if (!socket->ring)
		return;
	front->by_port[socket->ring->port] = NULL;
	ring_pool_give(&front->pool, socket->ring);
	socket->ring = NULL;
}

/* Puts a socket, pending calls or not, on the list of the free ones. */
static void front_socket_drop(struct pvcalls_front_socket *socket)
{
	struct pvcalls_front *front = socket->front;

	front_socket_give_ring(socket);
	if (socket->release)
		call_queue_free_call(&front->calls, socket->release);
	if (socket->previous)
		socket->previous->next = socket->next;
	else
		front->sockets = socket->next;
	if (socket->next)
		socket->next->previous = socket->previous;
	socket->next = front->free_sockets;
	front->free_sockets = socket;
}

void front_socket_free(struct pvcalls_front_socket *socket)
{
	ASSERT(!socket->calls);
	front_socket_drop(socket);
}

void front_socket_free_all(struct pvcalls_front *front)
{
	while (front->sockets)
		front_socket_drop(front->sockets);
	while (front->free_sockets) {
		struct pvcalls_front_socket *socket = front->free_sockets;

		front->free_sockets = socket->next;
		free(socket);
	}
}

void front_socket_activate(struct pvcalls_front_socket *socket)
{
	ASSERT(socket->ring);
	socket->state = SOCKET_ACTIVE;
	front_names_begin(socket);
}

int pvcalls_front_socket(struct pvcalls_front *front, uint32_t order,
			 struct pvcalls_front_socket **socket)
{
	if (front->error)
		return front->error;
	if (order < PVCALLS_FRONT_ORDER_MIN || order > front->max_order)
		return -EINVAL;
	*socket = front_socket_new(front, order);
	return *socket ? 0 : -ENOMEM;
}

void pvcalls_front_watch(struct pvcalls_front_socket *socket, pvcalls_front_ready ready,
			 void *owner)
{
	socket->ready = ready;
	socket->owner = owner;
}
