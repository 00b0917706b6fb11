/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls that dispatch until they are finished. */
#include <errno.h>
#include <time.h>

#include "calls.h"

struct waiter {
	struct pvcalls_front_socket *socket;
	int result;
	bool done;
};

static void finished(struct pvcalls_front_socket *socket, int result, void *context)
{
	struct waiter *waiter = context;

	waiter->socket = socket;
	waiter->result = result;
	waiter->done = true;
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits for a call; started is what starting it returned. */
static int await(struct pvcalls_front *front, struct waiter *waiter, int started, int timeout_ms)
{
	int64_t deadline;

	if (started)
		return started;
	deadline = timeout_ms < 0 ? INT64_MAX : now_ms() + timeout_ms;
	while (!waiter->done) {
		int64_t left = timeout_ms < 0 ? -1 : deadline - now_ms();

		if (timeout_ms >= 0 && left <= 0) {
			calls_forget(front, waiter);
			return -ETIMEDOUT;
		}
		pvcalls_front_wait(front, (int)left);
	}
	return waiter->result;
}

int pvcalls_front_connect_wait(struct pvcalls_front_socket *socket,
			       const struct sockaddr_in *address, int timeout_ms)
{
	struct pvcalls_front *front = socket->front;
	struct waiter waiter = {.done = false};

	return await(front, &waiter, pvcalls_front_connect(socket, address, finished, &waiter),
		     timeout_ms);
}

int pvcalls_front_bind_wait(struct pvcalls_front_socket *socket, const struct sockaddr_in *address,
			    int timeout_ms)
{
	struct pvcalls_front *front = socket->front;
	struct waiter waiter = {.done = false};

	return await(front, &waiter, pvcalls_front_bind(socket, address, finished, &waiter),
		     timeout_ms);
}

int pvcalls_front_listen_wait(struct pvcalls_front_socket *socket, uint32_t backlog, int timeout_ms)
{
	struct pvcalls_front *front = socket->front;
	struct waiter waiter = {.done = false};

	return await(front, &waiter, pvcalls_front_listen(socket, backlog, finished, &waiter),
		     timeout_ms);
}

int pvcalls_front_accept_wait(struct pvcalls_front_socket *listener, uint32_t order, int timeout_ms,
			      struct pvcalls_front_socket **accepted)
{
	struct pvcalls_front *front = listener->front;
	struct waiter waiter = {.done = false};
	int result = await(front, &waiter, pvcalls_front_accept(listener, order, finished, &waiter),
			   timeout_ms);

	if (!result)
		*accepted = waiter.socket;
	return result;
}
