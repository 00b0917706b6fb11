/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The frontend itself: its way up and down the xenbus states, and its events.
 *
 * Theory of operation. The embedding program's loop is dispatch until nothing is pending, then
 * may_sleep, then sleep on one descriptor. Sleeping and being woken costs ten microseconds, so
 * wait() first polls for as long as that has paid lately: a hit lets the time grow, a sleep that
 * was longer than any polling would have been lets it shrink. While we poll, the backend sees that
 * we are awake and rings no bell.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/decimal.h"
#include "calls.h"
#include "choose.h"
#include "front.h"
#include "why.h"

#define TIMEOUT_DEFAULT 5000u
#define SPIN_MIN_NS     1000u
#define SPIN_MAX_NS     50000u
#define SPIN_PAUSE_NS   10000000u /* no polling for so long when the processor is wanted */
#define PORTS_AT_ONCE   256
#define LISTEN_NS       1000000u
#define LISTEN_EVERY    64u /* dispatches, if there is always something else to do */

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A number of the backend's directory, at most max; or -errno. */
static int read_number(struct pvcalls_front *front, const char *key, int max)
{
	char value[FRONT_VALUE_MAX];
	uint64_t number;

	if (front->transport->ops->read(front->transport, key, value))
		return -ENOENT;
	switch (decimal_read(value, (uint64_t)max, &number)) {
	case 0:
		return (int)number;
	case -ERANGE:
		return max;
	default:
		return -EPROTO;
	}
}

static enum front_state backend_state(struct pvcalls_front *front)
{
	int state = read_number(front, "state", FRONT_CLOSED + 1);

	return state < 0 || state > FRONT_CLOSED ? FRONT_UNKNOWN : (enum front_state)state;
}

/* Waits until the backend's state is wanted or beyond; 0 or -errno. */
static int await_state(struct pvcalls_front *front, enum front_state wanted, uint32_t timeout_ms,
		       char *why)
{
	uint64_t deadline = now_ns() + timeout_ms * 1000000ull;
	struct front_transport *transport = front->transport;
	struct pollfd wait = {.fd = transport->store_fd, .events = POLLIN};

	while (backend_state(front) < wanted) {
		uint64_t now = now_ns();
		int error;

		if (now >= deadline)
			return why_set(why, ETIMEDOUT,
				       "the backend did not reach state %d within %u ms: see the "
				       "daemon's log",
				       wanted, timeout_ms);
		poll(&wait, 1, (int)((deadline - now) / 1000000u) + 1);
		error = transport->ops->listen(transport, why);
		if (error)
			return error;
	}
	return 0;
}

static int check_backend(struct pvcalls_front *front, bool no_names, char *why)
{
	char versions[FRONT_VALUE_MAX] = "";
	int order = read_number(front, "max-page-order", DATA_ORDER_MAX);

	front->transport->ops->read(front->transport, "versions", versions);
	if (strcmp(versions, "1") != 0)
		return why_set(why, EPROTO,
			       "the backend speaks PV Calls version \"%s\", not 1: use programs of "
			       "one release",
			       versions);
	if (order < (int)DATA_ORDER_MIN || read_number(front, "function-calls", 1) != 1)
		return why_set(
			why, EPROTO,
			"the backend offers no socket calls (max-page-order %d): see its log",
			order);
	front->max_order = (uint32_t)order;
	front->pool.max_order = front->max_order;
	front->names = !no_names && read_number(front, "feature-names", 1) == 1;
	front->half_close = read_number(front, "feature-shutdown", 1) == 1;
	return 0;
}

static int share_command_page(struct pvcalls_front *front, uint32_t *ref)
{
	struct front_transport *transport = front->transport;
	void *page;
	int error = transport->ops->share(transport, 0, &page, ref);

	if (error)
		return error;
	command_front_init(&front->command, page);
	return transport->ops->port_open(transport, &front->command_port);
}

/* Frees all that is shared with the backend. */
static void unshare_all(struct pvcalls_front *front)
{
	struct front_transport *transport = front->transport;

	front_free_sockets(front);
	ring_pool_drain(&front->pool);
	if (front->command_port)
		transport->ops->port_close(transport, front->command_port);
	if (front->command.page)
		transport->ops->unshare(transport, front->command.page, 0);
	front->command_port = 0;
	front->command.page = NULL;
}

static int handshake(struct pvcalls_front *front, const struct pvcalls_front_options *options,
		     char *why)
{
	uint32_t timeout_ms = options->timeout_ms;
	char lines[192];
	uint32_t ref;
	int error = await_state(front, FRONT_INIT_WAIT, timeout_ms, why);

	if (error)
		return error;
	error = check_backend(front, options->no_names, why);
	if (error)
		return error;
	error = share_command_page(front, &ref);
	if (error)
		return why_set(why, -error, "no memory for the command ring: %s", strerror(-error));
	/* An ACCEPT in flight on a socket that we release may be answered: it keeps its call. */
	snprintf(lines, sizeof(lines),
		 "version=1\nring-ref=%u\nport=%u\nfeature-names=%d\nfeature-cancel=1\n"
		 "feature-reuse=1\nfeature-shutdown=1\nstate=%d\n",
		 ref, front->command_port, front->names, FRONT_INITIALISED);
	error = front->transport->ops->write(front->transport, lines);
	if (!error)
		error = await_state(front, FRONT_CONNECTED, timeout_ms, why);
	if (error)
		return error;
	if (backend_state(front) != FRONT_CONNECTED)
		return why_set(why, ECONNREFUSED, "the backend closed the device: see its log");
	snprintf(lines, sizeof(lines), "state=%d\n", FRONT_CONNECTED);
	return front->transport->ops->write(front->transport, lines);
}

static int watch_fds(struct pvcalls_front *front)
{
	struct epoll_event event = {.events = EPOLLIN};

	front->fd = epoll_create1(EPOLL_CLOEXEC);
	if (front->fd < 0 ||
	    epoll_ctl(front->fd, EPOLL_CTL_ADD, front->transport->event_fd, &event) < 0 ||
	    epoll_ctl(front->fd, EPOLL_CTL_ADD, front->transport->store_fd, &event) < 0)
		return -errno;
	return 0;
}

static void free_front(struct pvcalls_front *front)
{
	if (front->transport) {
		unshare_all(front);
		front->transport->ops->close(front->transport);
	}
	front_free_calls(front);
	if (front->fd >= 0)
		close(front->fd);
	free(front->by_port);
	free(front);
}

static int start(struct pvcalls_front *front, const struct pvcalls_front_options *options,
		 char *why)
{
	int error = choose_open(options, &front->kind, &front->transport, why);

	if (error)
		return error;
	front->pool.transport = front->transport;
	front->by_port = calloc(FRONT_PORTS, sizeof(struct pvcalls_front_socket *));
	error = front->by_port ? watch_fds(front) : -ENOMEM;
	if (error)
		return why_set(why, -error, "the frontend can't be set up: %s", strerror(-error));
	return handshake(front, options, why);
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
	made->spin_max_ns = options->no_polling ? 0 : SPIN_MAX_NS;
	made->spin_ns = made->spin_max_ns;
	error = start(made, &given, why);
	if (error) {
		free_front(made);
		return error;
	}
	*front = made;
	return 0;
}

static void say_state(struct pvcalls_front *front, enum front_state state)
{
	char line[16];

	snprintf(line, sizeof(line), "state=%d\n", state);
	/* If the backend does not hear it, it is gone, which says the same. */
	(void)front->transport->ops->write(front->transport, line);
}

void pvcalls_front_close(struct pvcalls_front *front, uint32_t timeout_ms)
{
	if (!front)
		return;
	if (!front->error) {
		say_state(front, FRONT_CLOSING);
		if (await_state(front, FRONT_CLOSING, timeout_ms, NULL) == 0) {
			unshare_all(front);
			say_state(front, FRONT_CLOSED);
		}
	}
	free_front(front);
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

void front_fail(struct pvcalls_front *front, int error)
{
	uint32_t port;

	if (front->error)
		return;
	front->error = error;
	calls_fail(front, error);
	for (port = 0; port < FRONT_PORTS; port++) {
		struct pvcalls_front_socket *socket = front->by_port[port];

		if (socket && socket->ready)
			socket->ready(socket, socket->owner);
	}
}

int pvcalls_front_fd(const struct pvcalls_front *front)
{
	return front->fd;
}

bool pvcalls_front_may_sleep(struct pvcalls_front *front)
{
	front_flush(front);
	front->transport->ops->ring(front->transport);
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
	front_flush(front);
	front->transport->ops->ring(front->transport);
}

static void event(struct pvcalls_front *front, uint32_t port)
{
	struct pvcalls_front_socket *socket = front->by_port[port];

	if (port == front->command_port)
		front_take_responses(front);
	else if (socket && socket->ready)
		socket->ready(socket, socket->owner);
}

/* The backend's directory changed: has it gone, or closed the device? */
static void store_event(struct pvcalls_front *front)
{
	int error = front->transport->ops->listen(front->transport, NULL);

	if (error || backend_state(front) >= FRONT_CLOSING)
		front_fail(front, -ENETDOWN);
}

/* A system call, so not more often than the end of the backend has to be noticed. */
static void look_at_store(struct pvcalls_front *front)
{
	uint64_t now = now_ns();

	if (now - front->store_seen_ns < LISTEN_NS)
		return;
	front->store_seen_ns = now;
	store_event(front);
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
		event(front, ports[i]);
	if (!front->error && count == 0 && front->kind == PVCALLS_FRONT_XEN)
		count = (size_t)front_take_responses(front);
	if (!front->error && (count == 0 || ++front->dispatches % LISTEN_EVERY == 0))
		look_at_store(front);
	front->dispatching = false;
	front_flush(front);
	return front->error ? front->error : (int)count;
}

/* What the socket can do now, of events; 0 also for a socket of NULL. */
static int possible(struct pvcalls_front_socket *socket, uint32_t events)
{
	int mask = 0;

	if (!socket)
		return 0;
	if (events & PVCALLS_FRONT_READABLE && pvcalls_front_readable(socket, NULL) != -EAGAIN)
		mask |= PVCALLS_FRONT_READABLE;
	if (events & PVCALLS_FRONT_WRITABLE && pvcalls_front_writable(socket, NULL) != -EAGAIN)
		mask |= PVCALLS_FRONT_WRITABLE;
	return mask;
}

/*
 * Whether something came. Xen's events can't be seen without a system call, responses can.
 */
static bool come(const struct pvcalls_front *front)
{
	if (front->kind == PVCALLS_FRONT_XEN && command_front_waiting(&front->command))
		return true;
	return front->transport->ops->pending(front->transport);
}

/* Polls for an event, or for what the socket is waited for. Returns whether there was one. */
static bool spin(struct pvcalls_front *front, struct pvcalls_front_socket *socket, uint32_t events)
{
	uint64_t start = now_ns();
	uint64_t before;
	uint64_t now = start;

	if (!front->spin_max_ns || start < front->spin_again_ns)
		return false;
	do {
		if (possible(socket, events) || come(front)) {
			front->spin_ns += front->spin_ns / 2;
			if (front->spin_ns > front->spin_max_ns)
				front->spin_ns = front->spin_max_ns;
			return true;
		}
		before = now;
		sched_yield();
		now = now_ns();
	} while (now - start < front->spin_ns);
	/* Others had the processor for long: they need it more than we need to look. */
	if (now - before > SPIN_MAX_NS && !possible(socket, events))
		front->spin_again_ns = now + SPIN_PAUSE_NS;
	return false;
}

/* Sleeps until an event, at most until deadline (0: none). False: the time is over. */
static bool doze(struct pvcalls_front *front, uint64_t deadline)
{
	struct pollfd wait = {.fd = front->fd, .events = POLLIN};
	uint64_t start = now_ns();
	int left = -1;
	int woken;

	if (deadline && start >= deadline)
		return false;
	if (deadline)
		left = (int)((deadline - start) / 1000000u) + 1;
	if (!pvcalls_front_may_sleep(front))
		return true;
	woken = poll(&wait, 1, left);
	if (now_ns() - start < front->spin_max_ns)
		front->spin_ns = front->spin_max_ns;
	else if (front->spin_ns > SPIN_MIN_NS)
		front->spin_ns /= 2;
	return woken != 0;
}

static uint64_t deadline_of(int timeout_ms)
{
	return timeout_ms < 0 ? 0 : now_ns() + (uint64_t)timeout_ms * 1000000u + 1;
}

int pvcalls_front_wait(struct pvcalls_front *front, int timeout_ms)
{
	uint64_t deadline = deadline_of(timeout_ms);
	int count = pvcalls_front_dispatch(front);

	while (count == 0) {
		if (!spin(front, NULL, 0) && !doze(front, deadline))
			return 0;
		count = pvcalls_front_dispatch(front);
	}
	return count;
}

int pvcalls_front_wait_socket(struct pvcalls_front_socket *socket, uint32_t events, int timeout_ms)
{
	struct pvcalls_front *front = socket->front;
	uint64_t deadline = 0;
	bool timed = false;

	for (;;) {
		int mask = possible(socket, events);

		if (mask || front->error)
			return mask ? mask : front->error;
		if (spin(front, socket, events)) {
			if (!possible(socket, events))
				pvcalls_front_dispatch(front);
			continue;
		}
		if (!timed)
			deadline = deadline_of(timeout_ms);
		timed = true;
		if (!doze(front, deadline))
			return 0;
		pvcalls_front_dispatch(front);
	}
}
