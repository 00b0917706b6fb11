/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "library/socket_calls.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "library/front.h"
#include "library/front_events.h"
#include "library/front_socket.h"

#define ERRNO_MAX        4095
#define WIRE_AF_INET     2u /* numbers of Linux, whoever the guest is */
#define WIRE_SOCK_STREAM 1u

/* CONNECT was answered; returns the result the caller shall see. */
static int socket_calls_connected(struct pvcalls_front_socket *socket, int result)
{
	if (socket->socket_error)
		result = socket->socket_error;
	if (result)
		socket->state = SOCKET_FAILED;
	else
		front_socket_activate(socket);
	return result;
}

/*
 * ACCEPT was answered for this new socket. Returns it if it lives and is wanted; otherwise NULL and
 * it was ended.
 */
static struct pvcalls_front_socket *socket_calls_accepted(struct pvcalls_front_socket *socket,
							  int result, bool unwanted)
{
	if (result) {
		front_socket_free(socket);
		return NULL;
	}
	front_socket_activate(socket);
	if (!unwanted)
		return socket;
	pvcalls_front_release(socket);
	return NULL;
}

void socket_calls_settle(struct front_call *call, const struct wire_response *response)
{
	struct pvcalls_front_socket *socket = call->socket;
	struct pvcalls_front_socket *subject = socket;
	struct pvcalls_front *front = socket->front;
	pvcalls_front_done done = call->done;
	void *context = call->context;
	int result = response->ret > 0 || response->ret < -ERRNO_MAX ? -EIO : response->ret;

	ASSERT(socket->calls > 0);
	switch (call->request.cmd) {
	case WIRE_SOCKET:
		socket->socket_error = result;
		break;
	case WIRE_CONNECT:
		result = socket_calls_connected(socket, result);
		break;
	case WIRE_LISTEN:
		socket->names.local_port = htons((uint16_t)response->pad);
		break;
	case WIRE_ACCEPT:
		subject = socket_calls_accepted(call->accepted, result, socket->released || !done);
		break;
	case WIRE_RELEASE:
		ASSERT(front->releasing > 0);
		front->releasing--;
		break;
	case WIRE_BIND:
		socket->names.local_port = htons((uint16_t)response->pad);
		result = socket->socket_error ? socket->socket_error : result;
		break;
	default:
		break;
	}
	call_queue_free_call(&front->calls, call);
	/* Still counted, so that a release by the callback does not free the socket yet. */
	if (done && !socket->released)
		done(subject, result, context);
	socket->calls--;
	if (socket->released && !socket->calls)
		front_socket_free(socket);
}

/*
 * What the backend knows of a socket it uses until it is released, above all the ring. So a release
 * must not fail, and its call is made before any other.
 */
static int socket_calls_make_release(struct pvcalls_front_socket *socket)
{
	struct call_queue *queue = &socket->front->calls;

	if (!socket->release)
		socket->release = call_queue_new_call(queue, socket, WIRE_RELEASE, NULL, NULL);
	return socket->release ? 0 : -ENOMEM;
}

/* SOCKET goes before the first call. */
static int socket_calls_announce(struct pvcalls_front_socket *socket)
{
	struct call_queue *queue = &socket->front->calls;
	struct front_call *call;

	if (socket->announced)
		return 0;
	if (socket_calls_make_release(socket))
		return -ENOMEM;
	call = call_queue_new_call(queue, socket, WIRE_SOCKET, NULL, NULL);
	if (!call)
		return -ENOMEM;
	call->request.u.socket.domain = WIRE_AF_INET;
	call->request.u.socket.type = WIRE_SOCK_STREAM;
	call_queue_add(queue, call);
	socket->announced = true;
	return 0;
}

/* Both a call and what must go before it, or neither. */
static int socket_calls_begin(struct pvcalls_front_socket *socket, uint32_t cmd,
			      pvcalls_front_done done, void *context, struct front_call **call)
{
	if (socket->front->error)
		return socket->front->error;
	if (socket_calls_announce(socket))
		return -ENOMEM;
	*call = call_queue_new_call(&socket->front->calls, socket, cmd, done, context);
	return *call ? 0 : -ENOMEM;
}

static void socket_calls_commit(struct front_call *call)
{
	struct pvcalls_front *front = call->socket->front;

	call_queue_add(&front->calls, call);
	front_events_flush(front);
}

static void socket_calls_put_address(uint8_t bytes[WIRE_ADDR_BYTES], uint32_t *length,
				     const struct sockaddr_in *address)
{
	const uint16_t family = WIRE_AF_INET;

	memset(bytes, 0, WIRE_ADDR_BYTES);
	memcpy(bytes, &family, sizeof(family));
	memcpy(bytes + 2, &address->sin_port, sizeof(address->sin_port));
	memcpy(bytes + 4, &address->sin_addr, sizeof(address->sin_addr));
	*length = sizeof(struct sockaddr_in);
}

int pvcalls_front_connect(struct pvcalls_front_socket *socket, const struct sockaddr_in *address,
			  pvcalls_front_done done, void *context)
{
	struct front_call *call;
	int error;

	if (socket->ring || (socket->state != SOCKET_NEW && socket->state != SOCKET_PASSIVE))
		return -EINVAL;
	error = socket_calls_begin(socket, WIRE_CONNECT, done, context, &call);
	if (error)
		return error;
	error = front_socket_take_ring(socket);
	if (error) {
		call_queue_free_call(&socket->front->calls, call);
		return error;
	}
	socket_calls_put_address(call->request.u.connect.addr, &call->request.u.connect.len,
				 address);
	call->request.u.connect.ref = socket->ring->ref;
	call->request.u.connect.evtchn = socket->ring->port;
	socket->state = SOCKET_CONNECTING;
	socket_calls_commit(call);
	return 0;
}

int pvcalls_front_bind(struct pvcalls_front_socket *socket, const struct sockaddr_in *address,
		       pvcalls_front_done done, void *context)
{
	struct front_call *call;
	int error;

	if (socket->state != SOCKET_NEW)
		return -EINVAL;
	error = socket_calls_begin(socket, WIRE_BIND, done, context, &call);
	if (error)
		return error;
	socket_calls_put_address(call->request.u.bind.addr, &call->request.u.bind.len, address);
	socket->state = SOCKET_PASSIVE;
	socket_calls_commit(call);
	return 0;
}

int pvcalls_front_listen(struct pvcalls_front_socket *socket, uint32_t backlog,
			 pvcalls_front_done done, void *context)
{
	struct front_call *call;
	int error;

	if (socket->state != SOCKET_PASSIVE)
		return -EINVAL;
	error = socket_calls_begin(socket, WIRE_LISTEN, done, context, &call);
	if (error)
		return error;
	call->request.u.listen.backlog = backlog;
	socket_calls_commit(call);
	return 0;
}

int pvcalls_front_accept(struct pvcalls_front_socket *listener, uint32_t order,
			 pvcalls_front_done done, void *context)
{
	struct pvcalls_front *front = listener->front;
	struct pvcalls_front_socket *accepted;
	struct front_call *call;
	int error;

	if (listener->state != SOCKET_PASSIVE || order < PVCALLS_FRONT_ORDER_MIN ||
	    order > front->max_order)
		return -EINVAL;
	accepted = front_socket_new(front, order);
	if (!accepted)
		return -ENOMEM;
	accepted->announced = true; /* ACCEPT makes it known */
	error = socket_calls_make_release(accepted);
	if (!error)
		error = front_socket_take_ring(accepted);
	if (!error)
		error = socket_calls_begin(listener, WIRE_ACCEPT, done, context, &call);
	if (error) {
		front_socket_free(accepted);
		return error;
	}
	accepted->state = SOCKET_CONNECTING;
	call->accepted = accepted;
	call->request.u.accept.id_new = accepted->id;
	call->request.u.accept.ref = accepted->ring->ref;
	call->request.u.accept.evtchn = accepted->ring->port;
	socket_calls_commit(call);
	return 0;
}

int pvcalls_front_poll(struct pvcalls_front_socket *listener, pvcalls_front_done done,
		       void *context)
{
	struct front_call *call;
	int error;

	if (listener->state != SOCKET_PASSIVE)
		return -EINVAL;
	error = socket_calls_begin(listener, WIRE_POLL, done, context, &call);
	if (error)
		return error;
	socket_calls_commit(call);
	return 0;
}

void pvcalls_front_release(struct pvcalls_front_socket *socket)
{
	struct pvcalls_front *front = socket->front;
	struct front_call *call = socket->release;

	if (socket->released)
		return;
	socket->ready = NULL;
	socket->local_asked = NULL;
	socket->released = true;
	if (socket->announced && !front->error) {
		ASSERT(call);
		socket->release = NULL;
		call->request.u.release.reuse = 1; /* the pool hands the same ring out again */
		front->releasing++;
		socket_calls_commit(call);
	} else if (!socket->calls) {
		front_socket_free(socket);
	}
}
