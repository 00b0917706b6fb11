/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sockets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "calls.h"

static struct pvcalls_front_socket *socket_new(struct pvcalls_front *front, uint32_t order)
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

static int socket_take_ring(struct pvcalls_front_socket *socket)
{
	struct pvcalls_front *front = socket->front;
	int error = ring_pool_take(&front->pool, socket->order, &socket->ring);

	if (error)
		return error;
	socket->order = socket->ring->order;
	front->by_port[socket->ring->port] = socket;
	return 0;
}

static void socket_give_ring(struct pvcalls_front_socket *socket)
{
	struct pvcalls_front *front = socket->front;

	if (!socket->ring)
		return;
	front->by_port[socket->ring->port] = NULL;
	ring_pool_give(&front->pool, socket->ring);
	socket->ring = NULL;
}

void socket_free(struct pvcalls_front_socket *socket)
{
	struct pvcalls_front *front = socket->front;

	socket_give_ring(socket);
	if (socket->previous)
		socket->previous->next = socket->next;
	else
		front->sockets = socket->next;
	if (socket->next)
		socket->next->previous = socket->previous;
	socket->next = front->free_sockets;
	front->free_sockets = socket;
}

void front_free_sockets(struct pvcalls_front *front)
{
	while (front->sockets)
		socket_free(front->sockets);
	while (front->free_sockets) {
		struct pvcalls_front_socket *socket = front->free_sockets;

		front->free_sockets = socket->next;
		free(socket);
	}
}

static void socket_start(struct pvcalls_front_socket *socket)
{
	socket->state = SOCKET_ACTIVE;
	if (socket->front->names)
		memcpy(&socket->names, &socket->ring->indexes->names, sizeof(socket->names));
}

int socket_connected(struct pvcalls_front_socket *socket, int result)
{
	if (socket->socket_error)
		result = socket->socket_error;
	if (result)
		socket->state = SOCKET_FAILED;
	else
		socket_start(socket);
	return result;
}

struct pvcalls_front_socket *socket_accepted(struct pvcalls_front_socket *socket, int result,
					     bool unwanted)
{
	if (result) {
		socket_free(socket);
		return NULL;
	}
	socket_start(socket);
	if (!unwanted)
		return socket;
	pvcalls_front_release(socket);
	return NULL;
}

/* SOCKET goes before the first call. */
static int announce(struct pvcalls_front_socket *socket)
{
	struct front_call *call;

	if (socket->announced)
		return 0;
	call = call_new(socket, WIRE_SOCKET, NULL, NULL);
	if (!call)
		return -ENOMEM;
	call->request.u.socket.domain = 2; /* AF_INET on the wire */
	call->request.u.socket.type = 1;   /* SOCK_STREAM on the wire */
	call_queue(call);
	socket->announced = true;
	return 0;
}

/* Both a call and what must go before it, or neither. */
static int begin(struct pvcalls_front_socket *socket, uint32_t cmd, pvcalls_front_done done,
		 void *context, struct front_call **call)
{
	if (socket->front->error)
		return socket->front->error;
	if (announce(socket))
		return -ENOMEM;
	*call = call_new(socket, cmd, done, context);
	return *call ? 0 : -ENOMEM;
}

static void commit(struct front_call *call)
{
	struct pvcalls_front *front = call->socket->front;

	call_queue(call);
	front_flush(front);
}

static void put_address(uint8_t bytes[WIRE_ADDR_BYTES], uint32_t *length,
			const struct sockaddr_in *address)
{
	const uint16_t family = 2; /* AF_INET on the wire */

	memset(bytes, 0, WIRE_ADDR_BYTES);
	memcpy(bytes, &family, sizeof(family));
	memcpy(bytes + 2, &address->sin_port, sizeof(address->sin_port));
	memcpy(bytes + 4, &address->sin_addr, sizeof(address->sin_addr));
	*length = sizeof(struct sockaddr_in);
}

static bool order_fits(const struct pvcalls_front *front, uint32_t order)
{
	return order >= PVCALLS_FRONT_ORDER_MIN && order <= front->max_order;
}

int pvcalls_front_socket(struct pvcalls_front *front, uint32_t order,
			 struct pvcalls_front_socket **socket)
{
	if (front->error)
		return front->error;
	if (!order_fits(front, order))
		return -EINVAL;
	*socket = socket_new(front, order);
	return *socket ? 0 : -ENOMEM;
}

void pvcalls_front_watch(struct pvcalls_front_socket *socket, pvcalls_front_ready ready,
			 void *owner)
{
	socket->ready = ready;
	socket->owner = owner;
}

int pvcalls_front_connect(struct pvcalls_front_socket *socket, const struct sockaddr_in *address,
			  pvcalls_front_done done, void *context)
{
	struct front_call *call;
	int error;

	if (socket->ring || (socket->state != SOCKET_NEW && socket->state != SOCKET_PASSIVE))
		return -EINVAL;
	error = begin(socket, WIRE_CONNECT, done, context, &call);
	if (error)
		return error;
	error = socket_take_ring(socket);
	if (error) {
		call_free(socket->front, call);
		return error;
	}
	put_address(call->request.u.connect.addr, &call->request.u.connect.len, address);
	call->request.u.connect.ref = socket->ring->ref;
	call->request.u.connect.evtchn = socket->ring->port;
	socket->state = SOCKET_CONNECTING;
	commit(call);
	return 0;
}

int pvcalls_front_bind(struct pvcalls_front_socket *socket, const struct sockaddr_in *address,
		       pvcalls_front_done done, void *context)
{
	struct front_call *call;
	int error;

	if (socket->state != SOCKET_NEW)
		return -EINVAL;
	error = begin(socket, WIRE_BIND, done, context, &call);
	if (error)
		return error;
	put_address(call->request.u.bind.addr, &call->request.u.bind.len, address);
	socket->state = SOCKET_PASSIVE;
	commit(call);
	return 0;
}

int pvcalls_front_listen(struct pvcalls_front_socket *socket, uint32_t backlog,
			 pvcalls_front_done done, void *context)
{
	struct front_call *call;
	int error;

	if (socket->state != SOCKET_PASSIVE)
		return -EINVAL;
	error = begin(socket, WIRE_LISTEN, done, context, &call);
	if (error)
		return error;
	call->request.u.listen.backlog = backlog;
	commit(call);
	return 0;
}

int pvcalls_front_accept(struct pvcalls_front_socket *listener, uint32_t order,
			 pvcalls_front_done done, void *context)
{
	struct pvcalls_front *front = listener->front;
	struct pvcalls_front_socket *accepted;
	struct front_call *call;
	int error;

	if (listener->state != SOCKET_PASSIVE || !order_fits(front, order))
		return -EINVAL;
	accepted = socket_new(front, order);
	if (!accepted)
		return -ENOMEM;
	accepted->announced = true; /* ACCEPT makes it known */
	error = socket_take_ring(accepted);
	if (!error)
		error = begin(listener, WIRE_ACCEPT, done, context, &call);
	if (error) {
		socket_free(accepted);
		return error;
	}
	accepted->state = SOCKET_CONNECTING;
	call->accepted = accepted;
	call->request.u.accept.id_new = accepted->id;
	call->request.u.accept.ref = accepted->ring->ref;
	call->request.u.accept.evtchn = accepted->ring->port;
	commit(call);
	return 0;
}

int pvcalls_front_poll(struct pvcalls_front_socket *listener, pvcalls_front_done done,
		       void *context)
{
	struct front_call *call;
	int error;

	if (listener->state != SOCKET_PASSIVE)
		return -EINVAL;
	error = begin(listener, WIRE_POLL, done, context, &call);
	if (error)
		return error;
	commit(call);
	return 0;
}

void pvcalls_front_release(struct pvcalls_front_socket *socket)
{
	struct pvcalls_front *front = socket->front;
	struct front_call *call = NULL;

	if (socket->released)
		return;
	socket->ready = NULL;
	if (socket->announced && !front->error)
		call = call_new(socket, WIRE_RELEASE, NULL, NULL);
	socket->released = true;
	if (call) {
		call->request.u.release.reuse = 1; /* the pool hands the same ring out again */
		front->releasing++;
		commit(call);
	} else if (!socket->calls) {
		socket_free(socket);
	}
}

int pvcalls_front_names(const struct pvcalls_front_socket *socket, struct sockaddr_in *local,
			struct sockaddr_in *peer)
{
	const struct wire_names *names = &socket->names;

	if (local)
		*local = (struct sockaddr_in){.sin_family = AF_INET,
					      .sin_port = names->local_port,
					      .sin_addr.s_addr = names->local_addr};
	if (peer)
		*peer = (struct sockaddr_in){.sin_family = AF_INET,
					     .sin_port = names->peer_port,
					     .sin_addr.s_addr = names->peer_addr};
	return socket->front->names ? 0 : -ENODATA;
}
