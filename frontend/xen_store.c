/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "xen_store.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <xenstore.h>

#include "nodes.h"
#include "why.h"

#define DEVICE       "device/pvcalls/0"
#define DOMID_MAX    0x7fefu
#define WRITES_MAX   1000 /* tries of a transaction that others disturb */
#define PATH_AND_KEY (XEN_PATH_MAX + NODE_KEY_MAX)

/* A node's text, which must be shorter than size. 0 or -errno. */
static int read_node(struct xs_handle *handle, const char *path, char *value, size_t size)
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

bool xen_store_has_device(void)
{
	struct xs_handle *handle = xs_open(0);
	char backend[XEN_PATH_MAX];
	int error;

	if (!handle)
		return false;
	error = read_node(handle, DEVICE "/backend", backend, sizeof(backend));
	xs_close(handle);
	return !error;
}

static int find_backend(struct xen_store *store, char *why)
{
	char id[FRONT_VALUE_MAX];
	int error =
		read_node(store->handle, DEVICE "/backend", store->backend, sizeof(store->backend));

	if (error == -ENOENT)
		return why_set(why, ENODEV,
			       "this domain has no PV Calls device: put pvcalls=[''] into the "
			       "guest's configuration and start it anew");
	if (!error)
		error = read_node(store->handle, DEVICE "/backend-id", id, sizeof(id));
	if (!error)
		error = node_number(id, DOMID_MAX, &store->domid);
	if (error)
		return why_set(why, -error, "the xenstore nodes of " DEVICE " can't be read: %s",
			       strerror(-error));
	return 0;
}

static void hear_state(struct xen_store *store)
{
	char path[PATH_AND_KEY];

	snprintf(path, sizeof(path), "%s/state", store->backend);
	if (read_node(store->handle, path, store->state, sizeof(store->state)))
		store->state[0] = '\0';
}

static int watch(struct xen_store *store, char *why)
{
	char path[PATH_AND_KEY];

	snprintf(path, sizeof(path), "%s/state", store->backend);
	if (!xs_watch(store->handle, path, "state"))
		return why_set(why, errno, "xenstore's %s can't be watched: %s", path,
			       strerror(errno));
	hear_state(store);
	return 0;
}

int xen_store_open(struct xen_store *store, char *why)
{
	int error;

	*store = (struct xen_store){.handle = xs_open(0)};
	if (!store->handle)
		return why_set(why, errno,
			       "xenstore can't be reached through /dev/xen/xenbus: %s; be root in "
			       "a Xen guest",
			       strerror(errno));
	error = find_backend(store, why);
	return error ? error : watch(store, why);
}

void xen_store_close(struct xen_store *store)
{
	if (store->handle)
		xs_close(store->handle);
	store->handle = NULL;
}

int xen_store_fd(const struct xen_store *store)
{
	return xs_fileno(store->handle);
}

static int put_lines(struct xen_store *store, xs_transaction_t transaction, const char *lines)
{
	char path[sizeof(DEVICE) + NODE_KEY_MAX];
	char key[NODE_KEY_MAX];
	char value[FRONT_VALUE_MAX];

	while (*lines) {
		if (!node_next(&lines, key, value))
			return -EINVAL;
		snprintf(path, sizeof(path), DEVICE "/%s", key);
		if (!xs_write(store->handle, transaction, path, value, (unsigned int)strlen(value)))
			return -errno;
	}
	return 0;
}

/* -EAGAIN: somebody else's writes came between. */
static int write_together(struct xen_store *store, const char *lines)
{
	xs_transaction_t transaction = xs_transaction_start(store->handle);
	int error;

	if (transaction == XBT_NULL)
		return -errno;
	error = put_lines(store, transaction, lines);
	if (!xs_transaction_end(store->handle, transaction, error != 0) && !error)
		error = -errno;
	return error;
}

int xen_store_write(struct xen_store *store, const char *lines)
{
	const char *end = strchr(lines, '\n');
	int tries = WRITES_MAX;
	int error;

	store->touched = true;
	if (!end || !end[1])
		return put_lines(store, XBT_NULL, lines);
	do {
		error = write_together(store, lines);
	} while (error == -EAGAIN && --tries > 0);
	return error;
}

int xen_store_read(const struct xen_store *store, const char *key, char value[FRONT_VALUE_MAX])
{
	char path[PATH_AND_KEY];

	if (strcmp(key, "state") == 0) {
		memcpy(value, store->state, FRONT_VALUE_MAX);
		return *value ? 0 : -ENOENT;
	}
	snprintf(path, sizeof(path), "%s/%s", store->backend, key);
	return read_node(store->handle, path, value, FRONT_VALUE_MAX) ? -ENOENT : 0;
}

int xen_store_listen(struct xen_store *store, char *why)
{
	bool changed = false;
	char **event;

	while ((event = xs_check_watch(store->handle)) != NULL) {
		changed = true;
		free(event);
	}
	if (errno != EAGAIN)
		return why_set(why, ENETDOWN, "xenstore does not answer any more: %s",
			       strerror(errno));
	if (changed)
		hear_state(store);
	if (!store->state[0])
		return why_set(why, ENETDOWN, "the toolstack has removed the PV Calls device (%s)",
			       store->backend);
	return 0;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

/* Waits until the backend is in a state from first to last; 0 or -errno. */
static int await(struct xen_store *store, enum front_state first, enum front_state last,
		 uint64_t deadline, char *why)
{
	struct pollfd wait = {.fd = xs_fileno(store->handle), .events = POLLIN};

	for (;;) {
		enum front_state state = node_state(store->state);
		uint64_t now = now_ms();
		int error;

		if (state >= first && state <= last)
			return 0;
		if (now >= deadline)
			return why_set(why, ETIMEDOUT,
				       "the backend at %s stays in state %s where %d is expected: "
				       "is pvcallsd running in domain %u, and what does its log "
				       "say?",
				       store->backend, store->state, first, store->domid);
		poll(&wait, 1, (int)(deadline - now));
		error = xen_store_listen(store, why);
		if (error)
			return error;
	}
}

static int say(struct xen_store *store, enum front_state state, char *why)
{
	char line[16];
	int error;

	snprintf(line, sizeof(line), "state=%d\n", state);
	error = put_lines(store, XBT_NULL, line);
	if (error)
		return why_set(why, -error, "xenstore's " DEVICE "/state can't be written: %s",
			       strerror(-error));
	return 0;
}

/* From wherever a frontend that is no more left it, through 5 and 6, as if it had closed it. */
static int close_leftover(struct xen_store *store, enum front_state own, uint64_t deadline,
			  char *why)
{
	int error = 0;

	if (own != FRONT_CLOSED)
		error = say(store, FRONT_CLOSING, why);
	if (!error && own != FRONT_CLOSED)
		error = await(store, FRONT_CLOSING, FRONT_CLOSED, deadline, why);
	if (!error)
		error = say(store, FRONT_CLOSED, why);
	if (!error)
		error = await(store, FRONT_CLOSED, FRONT_CLOSED, deadline, why);
	return error;
}

int xen_store_prepare(struct xen_store *store, uint32_t timeout_ms, char *why)
{
	uint64_t deadline = now_ms() + timeout_ms;
	char text[FRONT_VALUE_MAX] = "";
	enum front_state own;
	int error = 0;

	/* What can't be read is what a frontend must not trust: start from the beginning. */
	(void)read_node(store->handle, DEVICE "/state", text, sizeof(text));
	own = node_state(text);
	if (own > FRONT_INITIALISING)
		error = close_leftover(store, own, deadline, why);
	if (!error && own != FRONT_INITIALISING)
		error = say(store, FRONT_INITIALISING, why);
	if (!error)
		error = await(store, FRONT_INIT_WAIT, FRONT_INIT_WAIT, deadline, why);
	return error;
}

void xen_store_give_back(struct xen_store *store)
{
	/* A device that was removed must not come back as two nodes of ours. */
	if (!store->handle || !store->touched || !store->state[0])
		return;
	if (say(store, FRONT_CLOSED, NULL) == 0)
		(void)say(store, FRONT_INITIALISING, NULL);
	store->touched = false;
}
