/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "library/front_names.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "library/front.h"
#include "library/front_socket.h"

/* The backend stores local_known after the address. */
static void front_names_take(struct pvcalls_front_socket *socket)
{
	const struct indexes_page *indexes = socket->ring->indexes;

	socket->local_known =
		!socket->front->names_on_demand || front_ring_local_known(socket->ring);
	memcpy(&socket->names, &indexes->names, sizeof(socket->names));
}

void front_names_begin(struct pvcalls_front_socket *socket)
{
	ASSERT(socket->ring);
	if (socket->front->names)
		front_names_take(socket);
}

static void front_names_settle(struct pvcalls_front_socket *socket, int result)
{
	pvcalls_front_done done = socket->local_asked;

	socket->local_asked = NULL;
	done(socket, result, socket->local_context);
}

/* A stream that has ended may have no backend that could answer; one that can does so unasked. */
static bool front_names_has_ended(const struct pvcalls_front_socket *socket)
{
	return front_ring_in_error(socket->ring) && front_ring_out_error(socket->ring);
}

void front_names_event(struct pvcalls_front_socket *socket)
{
	bool ended;

	if (!socket->local_asked)
		return;
	ended = front_names_has_ended(socket);
	if (!ended && !front_ring_local_known(socket->ring))
		return;
	front_names_take(socket);
	front_names_settle(socket, socket->local_known ? 0 : -ENOTCONN);
}

void front_names_fail(struct pvcalls_front_socket *socket, int error)
{
	ASSERT(error < 0);
	if (socket->local_asked)
		front_names_settle(socket, error);
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

int pvcalls_front_ask_local(struct pvcalls_front_socket *socket, pvcalls_front_done done,
			    void *context)
{
	struct front_transport *transport = socket->front->transport;

	if (socket->front->error)
		return socket->front->error;
	if (!socket->front->names)
		return -ENODATA;
	if (socket->state != SOCKET_ACTIVE)
		return -EINVAL;
	if (socket->local_known)
		return -EALREADY;
	if (socket->local_asked)
		return -EBUSY;
	if (front_names_has_ended(socket)) {
		front_names_take(socket);
		return socket->local_known ? -EALREADY : -ENOTCONN;
	}
	socket->local_asked = done;
	socket->local_context = context;
	front_ring_ask_local(socket->ring);
	transport->ops->notify(transport, socket->ring->port);
	return 0;
}
