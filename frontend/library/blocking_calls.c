/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls that dispatch until they are finished. */
#include <errno.h>

#include "base/clock.h"
#include "library/front.h"
#include "library/front_socket.h"

struct blocking_call {
	struct pvcalls_front_socket *socket;
	int result;
	bool done;
};

static void blocking_calls_done(struct pvcalls_front_socket *socket, int result, void *context)
{
	struct blocking_call *call = context;

	call->socket = socket;
	call->result = result;
	call->done = true;
}

/* Waits for a call; started is what starting it returned. */
static int blocking_calls_await(struct pvcalls_front *front, struct blocking_call *call,
				int started, int timeout_ms)
{
	uint64_t deadline;

	if (started)
		return started;
	deadline = timeout_ms < 0 ? 0 : clock_monotonic_ns() + (uint64_t)timeout_ms * NS_PER_MS;
	while (!call->done) {
		uint64_t now = timeout_ms < 0 ? 0 : clock_monotonic_ns();

		if (timeout_ms >= 0 && now >= deadline) {
			call_queue_forget(&front->calls, call);
			return -ETIMEDOUT;
		}
		pvcalls_front_wait(
			front,
			timeout_ms < 0 ? -1 : (int)((deadline - now + NS_PER_MS - 1) / NS_PER_MS));
	}
	return call->result;
}

int pvcalls_front_connect_wait(struct pvcalls_front_socket *socket,
			       const struct sockaddr_in *address, int timeout_ms)
{
	struct pvcalls_front *front = socket->front;
	struct blocking_call call = {.done = false};

	return blocking_calls_await(
		front, &call, pvcalls_front_connect(socket, address, blocking_calls_done, &call),
		timeout_ms);
}

int pvcalls_front_bind_wait(struct pvcalls_front_socket *socket, const struct sockaddr_in *address,
			    int timeout_ms)
{
	struct pvcalls_front *front = socket->front;
	struct blocking_call call = {.done = false};

	return blocking_calls_await(front, &call,
				    pvcalls_front_bind(socket, address, blocking_calls_done, &call),
				    timeout_ms);
}

int pvcalls_front_listen_wait(struct pvcalls_front_socket *socket, uint32_t backlog, int timeout_ms)
{
	struct pvcalls_front *front = socket->front;
	struct blocking_call call = {.done = false};

	return blocking_calls_await(
		front, &call, pvcalls_front_listen(socket, backlog, blocking_calls_done, &call),
		timeout_ms);
}

int pvcalls_front_accept_wait(struct pvcalls_front_socket *listener, uint32_t order, int timeout_ms,
			      struct pvcalls_front_socket **accepted)
{
	struct pvcalls_front *front = listener->front;
	struct blocking_call call = {.done = false};
	int result = blocking_calls_await(
		front, &call, pvcalls_front_accept(listener, order, blocking_calls_done, &call),
		timeout_ms);

	if (!result)
		*accepted = call.socket;
	return result;
}
