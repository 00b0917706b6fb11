/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "library/handshake.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/decimal.h"
#include "library/front.h"
#include "transports/why.h"

#define LAST_WORDS_MS 1000 /* the longest wait for them; a daemon sends them at once */

/* A number of the backend's directory, at most max; or -errno. */
static int handshake_read_number(struct pvcalls_front *front, const char *key, int max)
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

enum front_state handshake_backend_state(struct pvcalls_front *front)
{
	int state = handshake_read_number(front, "state", FRONT_CLOSED + 1);

	return state < 0 || state > FRONT_CLOSED ? FRONT_UNKNOWN : (enum front_state)state;
}

/*
 * The backend has closed the device instead of going on. It may say why only after that, and ends
 * the connection then; a backend on Xen has no words.
 */
static int handshake_hear_last_words(struct pvcalls_front *front, char *why)
{
	uint64_t deadline = clock_monotonic_ns() + LAST_WORDS_MS * NS_PER_MS;
	struct front_transport *transport = front->transport;
	struct pollfd wait = {.fd = transport->store_fd, .events = POLLIN};
	uint64_t now;

	while ((now = clock_monotonic_ns()) < deadline) {
		int told = transport->ops->refresh(transport, why);

		if (told)
			return told;
		poll(&wait, 1, (int)((deadline - now) / NS_PER_MS) + 1);
	}
	return why_set(why, ECONNREFUSED, "the backend closed the device: see its log");
}

/* Waits until the backend's state is wanted or beyond; 0, or -errno also if it closes instead. */
static int handshake_await(struct pvcalls_front *front, enum front_state wanted,
			   uint32_t timeout_ms, char *why)
{
	uint64_t deadline = clock_monotonic_ns() + timeout_ms * NS_PER_MS;
	struct front_transport *transport = front->transport;
	struct pollfd wait = {.fd = transport->store_fd, .events = POLLIN};

	while (handshake_backend_state(front) < wanted) {
		uint64_t now = clock_monotonic_ns();
		int error;

		if (now >= deadline)
			return why_set(why, ETIMEDOUT,
				       "the backend did not reach state %d within %u ms: see the "
				       "daemon's log",
				       wanted, timeout_ms);
		poll(&wait, 1, (int)((deadline - now) / NS_PER_MS) + 1);
		error = transport->ops->refresh(transport, why);
		if (error)
			return error;
	}
	if (wanted < FRONT_CLOSING && handshake_backend_state(front) >= FRONT_CLOSING)
		return handshake_hear_last_words(front, why);
	return 0;
}

int handshake_take_offer(struct pvcalls_front *front, bool no_names, uint32_t timeout_ms, char *why)
{
	char versions[FRONT_VALUE_MAX] = "";
	int error = handshake_await(front, FRONT_INIT_WAIT, timeout_ms, why);
	int order;

	if (error)
		return error;
	order = handshake_read_number(front, "max-page-order", DATA_ORDER_MAX);
	front->transport->ops->read(front->transport, "versions", versions);
	if (strcmp(versions, "1") != 0)
		return why_set(why, EPROTO,
			       "the backend speaks PV Calls version \"%s\", not 1: use programs of "
			       "one release",
			       versions);
	if (order < (int)DATA_ORDER_MIN || handshake_read_number(front, "function-calls", 1) != 1)
		return why_set(
			why, EPROTO,
			"the backend offers no socket calls (max-page-order %d): see its log",
			order);
	front->max_order = (uint32_t)order;
	front->pool.max_order = front->max_order;
	front->names = !no_names && handshake_read_number(front, "feature-names", 1) == 1;
	front->names_on_demand =
		front->names && handshake_read_number(front, "feature-names-on-demand", 1) == 1;
	front->half_close = handshake_read_number(front, "feature-shutdown", 1) == 1;
	front->calls.parks = handshake_read_number(front, "feature-park", 1) == 1;
	return 0;
}

/* A backend that has closed the connection may have said why before; else why says what failed. */
static int handshake_write(struct pvcalls_front *front, const char *lines, char *why)
{
	struct front_transport *transport = front->transport;
	int error = transport->ops->write(transport, lines);
	int told;

	if (!error)
		return 0;
	told = transport->ops->refresh(transport, why);
	if (told)
		return told;
	return why_set(why, -error, "the device's nodes can't be written: %s", strerror(-error));
}

static int handshake_write_state(struct pvcalls_front *front, enum front_state state, char *why)
{
	char line[16];

	snprintf(line, sizeof(line), "state=%d\n", state);
	return handshake_write(front, line, why);
}

int handshake_connect(struct pvcalls_front *front, uint32_t ref, uint32_t timeout_ms, char *why)
{
	char lines[224];
	int error;

	ASSERT(front->command_port);
	/* An ACCEPT in flight on a socket that we release may be answered: it keeps its call. */
	snprintf(lines, sizeof(lines),
		 "version=1\nring-ref=%u\nport=%u\nfeature-names=%d\n"
		 "feature-names-on-demand=%d\nfeature-cancel=1\nfeature-reuse=1\n"
		 "feature-shutdown=1\nfeature-park=%d\nstate=%d\n",
		 ref, front->command_port, front->names, front->names_on_demand, front->calls.parks,
		 FRONT_INITIALISED);
	error = handshake_write(front, lines, why);
	if (!error)
		error = handshake_await(front, FRONT_CONNECTED, timeout_ms, why);
	if (error)
		return error;
	return handshake_write_state(front, FRONT_CONNECTED, why);
}

int handshake_close(struct pvcalls_front *front, uint32_t timeout_ms)
{
	/* If the backend does not hear it, it is gone, and waiting for it says so. */
	(void)handshake_write_state(front, FRONT_CLOSING, NULL);
	return handshake_await(front, FRONT_CLOSING, timeout_ms, NULL);
}

void handshake_closed(struct pvcalls_front *front)
{
	(void)handshake_write_state(front, FRONT_CLOSED,
				    NULL); /* the connection's end says the same */
}
