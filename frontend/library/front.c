/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The frontend itself: what it takes to open one, and to close it. */
#include "library/front.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "library/front_socket.h"
#include "library/handshake.h"
#include "library/socket_calls.h"
#include "transports/transport_choice.h"
#include "transports/why.h"

#define TIMEOUT_DEFAULT  5000u
#define BUSY_POLL_MAX_NS (50 * NS_PER_US)

/* Makes the command ring and its event channel; *ref gets its page's grant. 0 or -errno. */
static int front_share_ring(struct pvcalls_front *front, uint32_t *ref)
{
	struct front_transport *transport = front->transport;
	void *page;
	int error = transport->ops->share(transport, 0, &page, ref);

	if (error)
		return error;
	command_front_init(&front->calls.ring, page);
	return transport->ops->port_open(transport, &front->command_port);
}

/* Frees all that is shared with the backend. */
static void front_unshare(struct pvcalls_front *front)
{
	struct front_transport *transport = front->transport;

	front_socket_free_all(front);
	ring_pool_drain(&front->pool);
	if (front->command_port)
		transport->ops->port_close(transport, front->command_port);
	if (front->calls.ring.page)
		transport->ops->unshare(transport, front->calls.ring.page, 0);
	front->command_port = 0;
	front->calls.ring.page = NULL;
}

static void front_free(struct pvcalls_front *front)
{
	if (front->transport) {
		front_unshare(front);
		front->transport->ops->close(front->transport);
	}
	call_queue_free(&front->calls);
	if (front->fd >= 0)
		close(front->fd);
	free(front->by_port);
	free(front);
}

static int front_watch_transport(struct pvcalls_front *front)
{
	struct epoll_event event = {.events = EPOLLIN};

	front->fd = epoll_create1(EPOLL_CLOEXEC);
	if (front->fd < 0 ||
	    epoll_ctl(front->fd, EPOLL_CTL_ADD, front->transport->event_fd, &event) < 0 ||
	    epoll_ctl(front->fd, EPOLL_CTL_ADD, front->transport->store_fd, &event) < 0)
		return -errno;
	return 0;
}

static int front_start(struct pvcalls_front *front, const struct pvcalls_front_options *options,
		       char *why)
{
	uint32_t ref;
	int error = transport_choice_open(options, &front->kind, &front->transport, why);

	if (error)
		return error;
	front->pool.transport = front->transport;
	front->by_port = calloc(FRONT_PORTS, sizeof(struct pvcalls_front_socket *));
	error = front->by_port ? front_watch_transport(front) : -ENOMEM;
	if (error)
		return why_set(why, -error, "the frontend can't be set up: %s", strerror(-error));
	error = handshake_take_offer(front, options->no_names, options->timeout_ms, why);
	if (error)
		return error;
	error = front_share_ring(front, &ref);
	if (error)
		return why_set(why, -error, "no memory for the command ring: %s", strerror(-error));
	return handshake_connect(front, ref, options->timeout_ms, why);
}

int pvcalls_front_open(struct pvcalls_front **front, const struct pvcalls_front_options *options,
		       char *why)
{
	struct pvcalls_front_options given = *options;
	struct pvcalls_front *made;
	int error;

	if (options->size != sizeof(*options))
		return why_set(why, EINVAL, "pvcalls_front_open() needs its options' size");
	if (!given.timeout_ms)
		given.timeout_ms = TIMEOUT_DEFAULT;
	made = calloc(1, sizeof(*made));
	if (!made)
		return why_set(why, ENOMEM, "no memory for the frontend");
	made->fd = -1;
	made->next_id = 1;
	made->calls.settle = socket_calls_settle;
	if (!options->no_polling)
		busy_poll_calibrate(&made->poll, BUSY_POLL_MAX_NS, BUSY_POLL_MAX_NS);
	/* A caller that waits has nothing else to do: the first time is the longest. */
	made->poll.first_ns = made->poll.max_ns;
	made->poll.ns = made->poll.max_ns;
	error = front_start(made, &given, why);
	if (error) {
		front_free(made);
		return error;
	}
	*front = made;
	return 0;
}

void pvcalls_front_close(struct pvcalls_front *front, uint32_t timeout_ms)
{
	if (!front)
		return;
	if (!front->error && handshake_close(front, timeout_ms) == 0) {
		front_unshare(front);
		handshake_closed(front);
	}
	front_free(front);
}

enum pvcalls_front_transport pvcalls_front_transport(const struct pvcalls_front *front)
{
	return front->kind;
}

const char *pvcalls_front_shortage(const struct pvcalls_front *front)
{
	return front->transport->shortage;
}

uint32_t pvcalls_front_max_order(const struct pvcalls_front *front)
{
	return front->max_order;
}

int pvcalls_front_error(const struct pvcalls_front *front)
{
	return front->error;
}

uint32_t pvcalls_front_releasing(const struct pvcalls_front *front)
{
	return front->releasing;
}
