/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "library/front_events.h"

#include <errno.h>

#include "base/assert.h"
#include "base/clock.h"
#include "library/front.h"
#include "library/front_names.h"
#include "library/front_socket.h"
#include "library/handshake.h"

#define PORTS_AT_ONCE 256
#define REFRESH_NS    NS_PER_MS /* the backend's nodes are looked at no more often */
#define REFRESH_EVERY 64u       /* dispatches, if there is always something else to do */

void front_events_flush(struct pvcalls_front *front)
{
	if (front->corked || front->dispatching || front->error)
		return;
	if (call_queue_push(&front->calls))
		front->transport->ops->notify(front->transport, front->command_port);
}

/* Ends the frontend: every call is settled with error, every stream's watcher is called. */
static void front_events_fail(struct pvcalls_front *front, int error)
{
	uint32_t port;

	ASSERT(error < 0);
	if (front->error)
		return;
	front->error = error;
	call_queue_fail(&front->calls, error);
	for (port = 0; port < FRONT_PORTS; port++) {
		struct pvcalls_front_socket *socket = front->by_port[port];

		if (socket)
			front_names_fail(socket, error);
		/* Whoever was told may have released it. */
		socket = front->by_port[port];
		if (socket && socket->ready)
			socket->ready(socket, socket->owner);
	}
}

/* Takes all responses; returns their number. */
static int front_events_take_responses(struct pvcalls_front *front)
{
	int count = call_queue_take(&front->calls);

	if (count >= 0)
		return count;
	front_events_fail(front, count);
	return 0;
}

static void front_events_take(struct pvcalls_front *front, uint32_t port)
{
	struct pvcalls_front_socket *socket;

	ASSERT(port < FRONT_PORTS);
	socket = front->by_port[port];
	if (port == front->command_port) {
		front_events_take_responses(front);
		return;
	}
	if (socket)
		front_names_event(socket);
	socket = front->by_port[port];
	if (socket && socket->ready)
		socket->ready(socket, socket->owner);
}

/*
 * Looks whether the backend has gone or closed the device. A system call, so not more often than
 * that has to be noticed.
 */
static void front_events_refresh(struct pvcalls_front *front)
{
	uint64_t now = clock_monotonic_ns();
	int error;

	if (now - front->store_seen_ns < REFRESH_NS)
		return;
	front->store_seen_ns = now;
	error = front->transport->ops->refresh(front->transport, NULL);
	if (error || handshake_backend_state(front) >= FRONT_CLOSING)
		front_events_fail(front, -ENETDOWN);
}

int pvcalls_front_dispatch(struct pvcalls_front *front)
{
	uint32_t ports[PORTS_AT_ONCE];
	size_t count;
	size_t i;

	if (front->error)
		return front->error;
	front->transport->ops->awake(front->transport);
	front->dispatching = true;
	count = front->transport->ops->take(front->transport, ports, PORTS_AT_ONCE);
	for (i = 0; i < count && !front->error; i++)
		front_events_take(front, ports[i]);
	if (!front->error && count == 0 && front->kind == PVCALLS_FRONT_XEN)
		count = (size_t)front_events_take_responses(front);
	if (!front->error && (count == 0 || ++front->dispatches % REFRESH_EVERY == 0))
		front_events_refresh(front);
	front->dispatching = false;
	front_events_flush(front);
	return front->error ? front->error : (int)count;
}

int pvcalls_front_fd(const struct pvcalls_front *front)
{
	return front->fd;
}

bool pvcalls_front_may_sleep(struct pvcalls_front *front)
{
	front_events_flush(front);
	front->transport->ops->notify_marked(front->transport);
	return front->transport->ops->may_sleep(front->transport);
}

bool pvcalls_front_pending(const struct pvcalls_front *front)
{
	return front->transport->ops->pending(front->transport);
}

void pvcalls_front_cork(struct pvcalls_front *front)
{
	front->corked = true;
}

void pvcalls_front_uncork(struct pvcalls_front *front)
{
	front->corked = false;
	front_events_flush(front);
	front->transport->ops->notify_marked(front->transport);
}
