/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation. A watch says only that something changed. Each event makes a device "due",
 * however many there are of it, and a device that is due is read whole, at most once in
 * XEN_READ_NS: a guest that flips its state ten thousand times is read a hundred times. The
 * frontend's directory belongs to the guest, so nothing is watched there but `state`.
 *
 * xenstored may go away. Guests are served on without it: their rings need none. The thread tries
 * to reach it again, watches and reads everything anew, and writes what could not be written. A
 * xenstored that has lost its content no longer knows the devices of running guests; such a device
 * is kept as it was until its domain ends, which only the hypervisor can then tell.
 *
 * What both threads use is guarded by `lock`: the list, and of each entry the fields from
 * `snapshot` on. The thread alone changes the list.
 */
#include "transport/xen_store.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <xenstore.h>

#include "base/assert.h"
#include "base/fd.h"
#include "transport/xen_connection.h"
#include "transport/xen_devices.h"
#include "transport/xen_store_state.h"

/* --- writing --- */

/* The place of key among the nodes that wait, or the first free one. */
static size_t xen_entry_find_write(const struct xen_entry *entry, const char *key)
{
	size_t i;

	for (i = 0; i < entry->write_count; i++)
		if (strcmp(entry->writes[i].key, key) == 0)
			break;
	return i;
}

/* Puts nodes back that could not be written, unless newer values wait already. */
static void xen_entry_put_back(struct xen_entry *entry, const struct device_node *nodes,
			       size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (xen_entry_find_write(entry, nodes[i].key) == entry->write_count &&
		    entry->write_count < XEN_WRITES_MAX)
			entry->writes[entry->write_count++] = nodes[i];
}

static bool xen_nodes_have_state(const struct device_node *nodes, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (strcmp(nodes[i].key, "state") == 0)
			return true;
	return false;
}

static void xen_entry_flush(struct xen_store *store, struct xen_entry *entry)
{
	struct device_node nodes[XEN_WRITES_MAX];
	size_t count;
	int error;

	pthread_mutex_lock(&store->lock);
	count = entry->write_count;
	memcpy(nodes, entry->writes, count * sizeof(*nodes));
	entry->write_count = 0;
	pthread_mutex_unlock(&store->lock);
	if (!count)
		return;
	error = xen_nodes_write(store->xs, entry->dir, entry->wrote, nodes, count);
	/* A directory that is gone or new: what is in its place when it is read is another one. */
	if (error == -ENOENT || (!error && xen_nodes_have_state(nodes, count)))
		entry->wrote = true;
	if (!error)
		return;
	entry->due = true;
	if (error == -ENOENT)
		return;
	pthread_mutex_lock(&store->lock);
	xen_entry_put_back(entry, nodes, count);
	pthread_mutex_unlock(&store->lock);
	xen_connection_doubt(store);
}

/* --- the thread --- */

static bool xen_path_is_within(const char *path, const char *dir)
{
	size_t length = strlen(dir);

	return strncmp(path, dir, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

static void xen_store_take_watch(struct xen_store *store, const char *path, const char *token)
{
	struct xen_entry *entry;

	if (strcmp(token, XEN_DOMAINS_TOKEN) == 0) {
		for (entry = store->entries; entry; entry = entry->next)
			entry->due = true;
		store->scan_due = true;
		return;
	}
	for (entry = store->entries; entry; entry = entry->next) {
		if (strcmp(token, entry->dir) == 0 || xen_path_is_within(path, entry->dir)) {
			entry->due = true;
			return;
		}
		/* What is removed with a directory above it has no event of its own. */
		if (xen_path_is_within(entry->dir, path))
			entry->due = true;
	}
	store->scan_due = true;
}

static void xen_store_take_watches(struct xen_store *store)
{
	char **event;

	while ((event = xs_check_watch(store->xs))) {
		xen_store_take_watch(store, event[XS_WATCH_PATH], event[XS_WATCH_TOKEN]);
		free(event);
	}
}

static bool xen_entry_wants_writing(struct xen_store *store, struct xen_entry *entry)
{
	bool wants;

	pthread_mutex_lock(&store->lock);
	wants = entry->write_count > 0;
	pthread_mutex_unlock(&store->lock);
	return wants;
}

/* Does what is due. Returns when there will be something again. */
static uint64_t xen_store_work(struct xen_store *store)
{
	uint64_t next_ns = clock_monotonic_ns() + XEN_HEARTBEAT_NS;
	struct xen_entry *entry;

	xen_store_take_watches(store);
	if (store->scan_due)
		xen_devices_scan(store);
	for (entry = store->entries; entry && store->xs; entry = entry->next) {
		if (xen_entry_wants_writing(store, entry))
			xen_entry_flush(store, entry);
		if (!store->xs || !entry->due)
			continue;
		if (clock_monotonic_ns() >= entry->read_ns)
			xen_devices_read(store, entry);
		if (entry->due && entry->read_ns < next_ns)
			next_ns = entry->read_ns;
	}
	xen_devices_sweep(store);
	if (store->xs && clock_monotonic_ns() - store->answered_ns > XEN_HEARTBEAT_NS)
		xen_connection_doubt(store);
	return next_ns;
}

static bool xen_store_stopped(struct xen_store *store)
{
	bool stop;

	pthread_mutex_lock(&store->lock);
	stop = store->stop;
	pthread_mutex_unlock(&store->lock);
	return stop;
}

static void xen_store_wait(struct xen_store *store, uint64_t until_ns)
{
	struct pollfd fds[] = {
		{.fd = store->wake, .events = POLLIN},
		{.fd = store->xs ? xs_fileno(store->xs) : -1, .events = POLLIN},
	};
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t wait_ns = until_ns > now_ns ? until_ns - now_ns : 0;
	eventfd_t count;

	(void)poll(fds, 2, (int)((wait_ns + NS_PER_MS - 1) / NS_PER_MS));
	(void)eventfd_read(store->wake, &count);
}

static void *xen_store_run(void *argument)
{
	struct xen_store *store = argument;

	while (!xen_store_stopped(store)) {
		uint64_t next_ns = clock_monotonic_ns() + XEN_HEARTBEAT_NS;

		if (store->xs || xen_connection_open(store) == 0)
			next_ns = xen_store_work(store);
		xen_store_wait(store, next_ns);
	}
	if (store->xs)
		(void)xen_store_work(store); /* the last writes */
	return NULL;
}

/* --- the owner's side --- */

int xen_store_fd(const struct xen_store *store)
{
	return store->ready;
}

bool xen_store_reachable(struct xen_store *store)
{
	bool reachable;

	pthread_mutex_lock(&store->lock);
	reachable = store->reachable;
	pthread_mutex_unlock(&store->lock);
	return reachable;
}

bool xen_store_take(struct xen_store *store, struct xen_snapshot *snapshot)
{
	struct xen_entry *entry;
	eventfd_t count;

	(void)eventfd_read(store->ready, &count);
	pthread_mutex_lock(&store->lock);
	for (entry = store->entries; entry && !entry->fresh; entry = entry->next)
		;
	if (entry) {
		*snapshot = entry->snapshot;
		entry->fresh = false;
		entry->snapshot.renewed = false;
	}
	pthread_mutex_unlock(&store->lock);
	return entry;
}

/* All of the nodes or none. */
static int xen_entry_leave_writes(struct xen_entry *entry, const struct device_node *nodes,
				  size_t count)
{
	size_t total = entry->write_count;
	size_t i;

	for (i = 0; i < count; i++)
		total += xen_entry_find_write(entry, nodes[i].key) == entry->write_count;
	if (total > XEN_WRITES_MAX)
		return -E2BIG;
	for (i = 0; i < count; i++) {
		size_t place = xen_entry_find_write(entry, nodes[i].key);

		ASSERT(place < XEN_WRITES_MAX);
		entry->writes[place] = nodes[i];
		if (place == entry->write_count)
			entry->write_count++;
	}
	return 0;
}

int xen_store_write(struct xen_store *store, struct xen_device_id id,
		    const struct device_node *nodes, size_t count)
{
	struct xen_entry *entry;
	int error = 0;

	pthread_mutex_lock(&store->lock);
	entry = xen_devices_find(store, id);
	/* What was meant for a device that is gone must not be written into its successor. */
	if (entry && (!entry->snapshot.present || (entry->fresh && entry->snapshot.renewed)))
		entry = NULL;
	if (entry)
		error = xen_entry_leave_writes(entry, nodes, count);
	pthread_mutex_unlock(&store->lock);
	(void)eventfd_write(store->wake, 1);
	return error;
}

static void xen_store_free(struct xen_store *store)
{
	while (store->entries) {
		struct xen_entry *entry = store->entries;

		store->entries = entry->next;
		free(entry);
	}
	if (store->xs)
		xs_close(store->xs);
	pthread_mutex_destroy(&store->lock);
	fd_close(&store->wake);
	fd_close(&store->ready);
	free(store);
}

void xen_store_close(struct xen_store *store)
{
	struct timespec deadline;

	pthread_mutex_lock(&store->lock);
	store->stop = true;
	pthread_mutex_unlock(&store->lock);
	(void)eventfd_write(store->wake, 1);
	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_nsec += (long)XEN_CLOSE_NS;
	deadline.tv_sec += deadline.tv_nsec / (long)NS_PER_S;
	deadline.tv_nsec %= (long)NS_PER_S;
	/* A xenstored that does not answer keeps its thread: the process ends with it. */
	if (pthread_timedjoin_np(store->thread, NULL, &deadline) == 0)
		xen_store_free(store);
}

/* The thread gets no signals: they are the loop's. */
static int xen_store_start_thread(struct xen_store *store)
{
	sigset_t all;
	sigset_t before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&store->thread, NULL, xen_store_run, store);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -error;
}

int xen_store_open(struct xen_store **opened, struct fault *fault)
{
	struct xen_store *store = calloc(1, sizeof(*store));
	int error;

	if (!store)
		return fault_set(fault, ENOMEM, "no memory for the Xen transport");
	pthread_mutex_init(&store->lock, NULL);
	store->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	store->ready = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	error = store->wake < 0 || store->ready < 0 ? -errno : xen_connection_open(store);
	if (error) {
		xen_store_free(store);
		return fault_set(fault, -error,
				 "xenstored can't be reached: %s; is it running, and is this the "
				 "control domain or a driver domain of a Xen host?",
				 strerror(-error));
	}
	error = xen_store_start_thread(store);
	if (error) {
		xen_store_free(store);
		return fault_set(fault, -error, "no thread for xenstore: %s", strerror(-error));
	}
	*opened = store;
	return 0;
}
