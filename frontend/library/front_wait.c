/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Waiting for the backend.
 *
 * Theory of operation. An embedding program's loop is dispatch until nothing is pending, then
 * may_sleep, then sleep on one descriptor. The functions here are that loop for programs that have
 * none, and busy-poll before they sleep (base/busy_poll.h). While we poll, the backend sees that we
 * are awake and leaves our descriptor alone.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>

#include "base/clock.h"
#include "library/front.h"
#include "library/front_socket.h"

/* What is waited for. */
struct front_wait {
	struct pvcalls_front *front;
	struct pvcalls_front_socket *socket; /* NULL: any event */
	uint32_t events;                     /* of the socket */
	uint64_t deadline_ns;                /* 0: none */
	uint64_t now_ns;                     /* the clock as last read */
};

/* What the socket can do now, of the events; 0 also without a socket. */
static int front_wait_possible(const struct front_wait *wait)
{
	int mask = 0;

	if (!wait->socket)
		return 0;
	if (wait->events & PVCALLS_FRONT_READABLE &&
	    pvcalls_front_readable(wait->socket, NULL) != -EAGAIN)
		mask |= PVCALLS_FRONT_READABLE;
	if (wait->events & PVCALLS_FRONT_WRITABLE &&
	    pvcalls_front_writable(wait->socket, NULL) != -EAGAIN)
		mask |= PVCALLS_FRONT_WRITABLE;
	return mask;
}

/* Whether memory shows that something came. Xen's events take a system call, responses do not. */
static bool front_wait_look(void *owner)
{
	const struct front_wait *wait = owner;
	const struct pvcalls_front *front = wait->front;

	if (front_wait_possible(wait))
		return true;
	if (front->kind == PVCALLS_FRONT_XEN && command_front_waiting(&front->calls.ring))
		return true;
	return front->transport->ops->pending(front->transport);
}

/* Polls for as long as that may pay. Returns whether something came. */
static bool front_wait_poll(struct front_wait *wait)
{
	struct busy_poll *poll = &wait->front->poll;
	bool found;

	wait->now_ns = clock_monotonic_ns();
	if (!busy_poll_begin(poll, wait->now_ns))
		return false;
	do {
		found = busy_poll_slice(poll, front_wait_look, wait);
		if (found)
			break;
		sched_yield();
		wait->now_ns = clock_monotonic_ns();
		/* Once more, since others may have had the processor for what we wait for. */
		found = front_wait_look(wait);
	} while (!found && busy_poll_goes_on(poll, wait->now_ns));
	busy_poll_end(poll, found);
	return found;
}

/* Sleeps until an event, at most until the deadline. False: the time is over. */
static bool front_wait_sleep(struct front_wait *wait)
{
	struct pvcalls_front *front = wait->front;
	struct pollfd polled = {.fd = front->fd, .events = POLLIN};
	uint64_t before_ns = wait->now_ns;
	int left = -1;
	int woken;

	if (wait->deadline_ns && before_ns >= wait->deadline_ns)
		return false;
	if (wait->deadline_ns)
		left = (int)((wait->deadline_ns - before_ns) / NS_PER_MS) + 1;
	if (!pvcalls_front_may_sleep(front))
		return true;
	woken = poll(&polled, 1, left);
	wait->now_ns = clock_monotonic_ns();
	busy_poll_slept(&front->poll, before_ns, wait->now_ns);
	return woken != 0;
}

/* timeout_ms from now; below 0: for ever. */
static void front_wait_until(struct front_wait *wait, int timeout_ms)
{
	if (timeout_ms >= 0)
		wait->deadline_ns = clock_monotonic_ns() + (uint64_t)timeout_ms * NS_PER_MS + 1;
}

int pvcalls_front_wait(struct pvcalls_front *front, int timeout_ms)
{
	struct front_wait wait = {.front = front};
	int count;

	front_wait_until(&wait, timeout_ms);
	count = pvcalls_front_dispatch(front);
	while (count == 0) {
		if (!front_wait_poll(&wait) && !front_wait_sleep(&wait))
			return 0;
		count = pvcalls_front_dispatch(front);
	}
	return count;
}

int pvcalls_front_wait_socket(struct pvcalls_front_socket *socket, uint32_t events, int timeout_ms)
{
	struct pvcalls_front *front = socket->front;
	struct front_wait wait = {.front = front, .socket = socket, .events = events};
	bool timed = false;

	for (;;) {
		int mask = front_wait_possible(&wait);

		if (mask || front->error)
			return mask ? mask : front->error;
		if (front_wait_poll(&wait)) {
			if (!front_wait_possible(&wait))
				pvcalls_front_dispatch(front);
			continue;
		}
		if (!timed)
			front_wait_until(&wait, timeout_ms);
		timed = true;
		if (!front_wait_sleep(&wait))
			return 0;
		pvcalls_front_dispatch(front);
	}
}
