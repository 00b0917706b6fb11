/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "transports/xenbus.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <xenstore.h>

#include "transports/node_text.h"
#include "transports/why.h"

#define DEVICE       "device/pvcalls/0"
#define DOMID_MAX    0x7fefu
#define WRITES_MAX   1000 /* tries of a transaction that others disturb */
#define PATH_AND_KEY (XEN_PATH_MAX + NODE_KEY_MAX)

/* A node's text, which must be shorter than size. 0 or -errno. */
static int xenbus_read_node(struct xs_handle *handle, const char *path, char *value, size_t size)
{
	unsigned int length = 0;
	char *text = xs_read(handle, XBT_NULL, path, &length);
	int error = text ? 0 : -errno;

	if (text && length >= size)
		error = -EOVERFLOW;
	if (text && !error) {
		memcpy(value, text, length);
		value[length] = '\0';
	}
	free(text);
	return error;
}

bool xenbus_has_device(void)
{
	struct xs_handle *handle = xs_open(0);
	char backend[XEN_PATH_MAX];
	int error;

	if (!handle)
		return false;
	error = xenbus_read_node(handle, DEVICE "/backend", backend, sizeof(backend));
	xs_close(handle);
	return !error;
}

static int xenbus_find_backend(struct xenbus *xenbus, char *why)
{
	char id[FRONT_VALUE_MAX];
	int error = xenbus_read_node(xenbus->handle, DEVICE "/backend", xenbus->backend,
				     sizeof(xenbus->backend));

	if (error == -ENOENT)
		return why_set(why, ENODEV,
			       "this domain has no PV Calls device: put pvcalls=[''] into the "
			       "guest's configuration and start it anew");
	if (!error)
		error = xenbus_read_node(xenbus->handle, DEVICE "/backend-id", id, sizeof(id));
	if (!error)
		error = node_text_number(id, DOMID_MAX, &xenbus->domid);
	if (error)
		return why_set(why, -error, "the xenstore nodes of " DEVICE " can't be read: %s",
			       strerror(-error));
	return 0;
}

static void xenbus_read_state(struct xenbus *xenbus)
{
	char path[PATH_AND_KEY];

	snprintf(path, sizeof(path), "%s/state", xenbus->backend);
	if (xenbus_read_node(xenbus->handle, path, xenbus->state, sizeof(xenbus->state)))
		xenbus->state[0] = '\0';
}

static int xenbus_watch(struct xenbus *xenbus, char *why)
{
	char path[PATH_AND_KEY];

	snprintf(path, sizeof(path), "%s/state", xenbus->backend);
	if (!xs_watch(xenbus->handle, path, "state"))
		return why_set(why, errno, "xenstore's %s can't be watched: %s", path,
			       strerror(errno));
	xenbus_read_state(xenbus);
	return 0;
}

int xenbus_open(struct xenbus *xenbus, char *why)
{
	int error;

	*xenbus = (struct xenbus){.handle = xs_open(0)};
	if (!xenbus->handle)
		return why_set(why, errno,
			       "xenstore can't be reached through /dev/xen/xenbus: %s; be root in "
			       "a Xen guest",
			       strerror(errno));
	error = xenbus_find_backend(xenbus, why);
	return error ? error : xenbus_watch(xenbus, why);
}

void xenbus_close(struct xenbus *xenbus)
{
	if (xenbus->handle)
		xs_close(xenbus->handle);
	xenbus->handle = NULL;
}

int xenbus_fd(const struct xenbus *xenbus)
{
	return xs_fileno(xenbus->handle);
}

static int xenbus_put_lines(struct xenbus *xenbus, xs_transaction_t transaction, const char *lines)
{
	char path[sizeof(DEVICE) + NODE_KEY_MAX];
	char key[NODE_KEY_MAX];
	char value[FRONT_VALUE_MAX];

	while (*lines) {
		if (!node_text_next(&lines, key, value))
			return -EINVAL;
		snprintf(path, sizeof(path), DEVICE "/%s", key);
		if (!xs_write(xenbus->handle, transaction, path, value,
			      (unsigned int)strlen(value)))
			return -errno;
	}
	return 0;
}

/* -EAGAIN: somebody else's writes came between. */
static int xenbus_write_together(struct xenbus *xenbus, const char *lines)
{
	xs_transaction_t transaction = xs_transaction_start(xenbus->handle);
	int error;

	if (transaction == XBT_NULL)
		return -errno;
	error = xenbus_put_lines(xenbus, transaction, lines);
	if (!xs_transaction_end(xenbus->handle, transaction, error != 0) && !error)
		error = -errno;
	return error;
}

int xenbus_write(struct xenbus *xenbus, const char *lines)
{
	const char *end = strchr(lines, '\n');
	int tries = WRITES_MAX;
	int error;

	xenbus->touched = true;
	if (!end || !end[1])
		return xenbus_put_lines(xenbus, XBT_NULL, lines);
	do {
		error = xenbus_write_together(xenbus, lines);
	} while (error == -EAGAIN && --tries > 0);
	return error;
}

int xenbus_read(const struct xenbus *xenbus, const char *key, char value[FRONT_VALUE_MAX])
{
	char path[PATH_AND_KEY];

	if (strcmp(key, "state") == 0) {
		memcpy(value, xenbus->state, FRONT_VALUE_MAX);
		return *value ? 0 : -ENOENT;
	}
	snprintf(path, sizeof(path), "%s/%s", xenbus->backend, key);
	return xenbus_read_node(xenbus->handle, path, value, FRONT_VALUE_MAX) ? -ENOENT : 0;
}

int xenbus_refresh(struct xenbus *xenbus, char *why)
{
	bool changed = false;
	char **event;

	while ((event = xs_check_watch(xenbus->handle))) {
		changed = true;
		free(event);
	}
	if (errno != EAGAIN)
		return why_set(why, ENETDOWN, "xenstore does not answer any more: %s",
			       strerror(errno));
	if (changed)
		xenbus_read_state(xenbus);
	if (!xenbus->state[0])
		return why_set(why, ENETDOWN, "the toolstack has removed the PV Calls device (%s)",
			       xenbus->backend);
	return 0;
}

static uint64_t xenbus_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

/* Waits until the backend is in a state from first to last; 0 or -errno. */
static int xenbus_await(struct xenbus *xenbus, enum front_state first, enum front_state last,
			uint64_t deadline, char *why)
{
	struct pollfd wait = {.fd = xs_fileno(xenbus->handle), .events = POLLIN};

	for (;;) {
		enum front_state state = node_text_state(xenbus->state);
		uint64_t now = xenbus_now_ms();
		int error;

		if (state >= first && state <= last)
			return 0;
		if (now >= deadline)
			return why_set(why, ETIMEDOUT,
				       "the backend at %s stays in state %s where %d is expected: "
				       "is pvcallsd running in domain %u, and what does its log "
				       "say?",
				       xenbus->backend, xenbus->state, first, xenbus->domid);
		poll(&wait, 1, (int)(deadline - now));
		error = xenbus_refresh(xenbus, why);
		if (error)
			return error;
	}
}

static int xenbus_write_state(struct xenbus *xenbus, enum front_state state, char *why)
{
	char line[16];
	int error;

	snprintf(line, sizeof(line), "state=%d\n", state);
	error = xenbus_put_lines(xenbus, XBT_NULL, line);
	if (error)
		return why_set(why, -error, "xenstore's " DEVICE "/state can't be written: %s",
			       strerror(-error));
	return 0;
}

/* From wherever a frontend that is no more left it, through 5 and 6, as if it had closed it. */
static int xenbus_close_leftover(struct xenbus *xenbus, enum front_state own, uint64_t deadline,
				 char *why)
{
	int error = 0;

	if (own != FRONT_CLOSED)
		error = xenbus_write_state(xenbus, FRONT_CLOSING, why);
	if (!error && own != FRONT_CLOSED)
		error = xenbus_await(xenbus, FRONT_CLOSING, FRONT_CLOSED, deadline, why);
	if (!error)
		error = xenbus_write_state(xenbus, FRONT_CLOSED, why);
	if (!error)
		error = xenbus_await(xenbus, FRONT_CLOSED, FRONT_CLOSED, deadline, why);
	return error;
}

int xenbus_prepare(struct xenbus *xenbus, uint32_t timeout_ms, char *why)
{
	uint64_t deadline = xenbus_now_ms() + timeout_ms;
	char text[FRONT_VALUE_MAX] = "";
	enum front_state own;
	int error = 0;

	/* What can't be read is what a frontend must not trust: start from the beginning. */
	(void)xenbus_read_node(xenbus->handle, DEVICE "/state", text, sizeof(text));
	own = node_text_state(text);
	if (own > FRONT_INITIALISING)
		error = xenbus_close_leftover(xenbus, own, deadline, why);
	if (!error && own != FRONT_INITIALISING)
		error = xenbus_write_state(xenbus, FRONT_INITIALISING, why);
	if (!error)
		error = xenbus_await(xenbus, FRONT_INIT_WAIT, FRONT_INIT_WAIT, deadline, why);
	return error;
}

void xenbus_give_back(struct xenbus *xenbus)
{
	/* A device that was removed must not come back as two nodes of ours. */
	if (!xenbus->handle || !xenbus->touched || !xenbus->state[0])
		return;
	if (xenbus_write_state(xenbus, FRONT_CLOSED, NULL) == 0)
		(void)xenbus_write_state(xenbus, FRONT_INITIALISING, NULL);
	xenbus->touched = false;
}
