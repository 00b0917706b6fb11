/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store_world.h"

#include <poll.h>
#include <stdio.h>

#include "base/clock.h"

void store_sleep(int ms)
{
	(void)poll(NULL, 0, ms);
}

bool store_take(struct xen_store *store, struct xen_snapshot *snapshot)
{
	const uint64_t until_ns = clock_monotonic_ns() + SOON_MS * NS_PER_MS;
	struct pollfd fd = {.fd = xen_store_fd(store), .events = POLLIN};

	while (!xen_store_take(store, snapshot)) {
		if (clock_monotonic_ns() > until_ns)
			return false;
		(void)poll(&fd, 1, SOON_MS);
	}
	return true;
}

bool store_is_quiet(struct xen_store *store, int ms)
{
	struct xen_snapshot snapshot;
	struct pollfd fd = {.fd = xen_store_fd(store), .events = POLLIN};

	while (poll(&fd, 1, ms) > 0)
		if (xen_store_take(store, &snapshot))
			return false;
	return true;
}

int store_write(struct xen_store *store, uint32_t domid, const char *key, const char *value)
{
	struct device_node node;

	snprintf(node.key, sizeof(node.key), "%s", key);
	snprintf(node.value, sizeof(node.value), "%s", value);
	return xen_store_write(store, (struct xen_device_id){.domid = domid}, &node, 1);
}

int store_begin_empty(void **state)
{
	fake_store_reset();
	return xen_store_open((struct xen_store **)state, NULL);
}

int store_begin_with_guest(void **state)
{
	struct xen_snapshot snapshot;
	int error;

	fake_store_reset();
	fake_device_add(GUEST, 0);
	error = xen_store_open((struct xen_store **)state, NULL);
	if (error)
		return error;
	/* The watches' own first events make it due once more. */
	return store_take(*state, &snapshot) && store_is_quiet(*state, 30) ? 0 : -1;
}

int store_end(void **state)
{
	xen_store_close(*state);
	return 0;
}
