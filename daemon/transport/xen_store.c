/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation. A watch says only that something changed. Each event makes a device "due",
 * however many there are of it, and a device that is due is read whole, at most once in
 * XEN_LOOK_NS: a guest that flips its state ten thousand times costs a hundred looks. The
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

#include "base/fd.h"
#include "transport/xen_store_state.h"

static const char backends_token[] = "backends";
static const char domains_token[] = "domains";

void xen_store_ring(int eventfd)
{
	uint64_t one = 1;

	/* A counter that is full rings already. */
	if (write(eventfd, &one, sizeof(one)) < 0)
		return;
}

static void silence(int eventfd)
{
	uint64_t rings;

	if (read(eventfd, &rings, sizeof(rings)) < 0)
		return;
}

static void tell_reachable(struct xen_store *store, bool reachable)
{
	bool changed;

	pthread_mutex_lock(&store->lock);
	changed = store->reachable != reachable;
	store->reachable = reachable;
	pthread_mutex_unlock(&store->lock);
	if (changed)
		xen_store_ring(store->ready);
}

/* --- the connection --- */

static void lose(struct xen_store *store)
{
	xs_close(store->xs);
	store->xs = NULL;
	tell_reachable(store, false);
}

/* An operation failed for no reason of its own: is anybody there? */
void xen_store_doubt(struct xen_store *store)
{
	if (store->xs && !xen_nodes_answer(store->xs))
		lose(store);
	store->answered_ns = clock_monotonic_ns();
}

static int find_base(struct xen_store *store)
{
	int error = xen_nodes_number(store->xs, "", "domid", XEN_DOMID_MAX, &store->own_domid);

	/* Where nobody wrote it, this is the first domain. */
	if (error == -ENOENT)
		store->own_domid = 0;
	else if (error)
		return error;
	snprintf(store->base, sizeof(store->base), "/local/domain/%u/backend/pvcalls",
		 store->own_domid);
	return 0;
}

static bool watch_everything(struct xen_store *store)
{
	return xs_watch(store->xs, store->base, backends_token) &&
	       xs_watch(store->xs, "@releaseDomain", domains_token) &&
	       xs_watch(store->xs, "@introduceDomain", domains_token);
}

static int reach(struct xen_store *store)
{
	struct xen_entry *entry;
	int error;

	store->xs = xen_nodes_connect();
	if (!store->xs)
		return -errno;
	error = find_base(store);
	if (!error && !watch_everything(store))
		error = -errno;
	if (error) {
		xs_close(store->xs);
		store->xs = NULL;
		return error;
	}
	for (entry = store->entries; entry; entry = entry->next) {
		entry->watched = false;
		entry->known = false;
		entry->due = true;
	}
	store->scan_due = true;
	store->answered_ns = clock_monotonic_ns();
	tell_reachable(store, true);
	return 0;
}

/* --- writing --- */

/* The place of key among the nodes that wait, or the first free one. */
static size_t find_write(const struct xen_entry *entry, const char *key)
{
	size_t i;

	for (i = 0; i < entry->write_count; i++)
		if (strcmp(entry->writes[i].key, key) == 0)
			break;
	return i;
}

/* Puts nodes back that could not be written, unless newer values wait already. */
static void put_back(struct xen_entry *entry, const struct device_node *nodes, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (find_write(entry, nodes[i].key) == entry->write_count &&
		    entry->write_count < XEN_WRITES_MAX)
			entry->writes[entry->write_count++] = nodes[i];
}

static bool has_state(const struct device_node *nodes, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (strcmp(nodes[i].key, "state") == 0)
			return true;
	return false;
}

static void flush(struct xen_store *store, struct xen_entry *entry)
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
	/* A directory that is gone or new: what is in its place when we look is another one. */
	if (error == -ENOENT || (!error && has_state(nodes, count)))
		entry->wrote = true;
	if (!error)
		return;
	entry->due = true;
	if (error == -ENOENT)
		return;
	pthread_mutex_lock(&store->lock);
	put_back(entry, nodes, count);
	pthread_mutex_unlock(&store->lock);
	xen_store_doubt(store);
}

/* --- the thread --- */

static bool is_within(const char *path, const char *dir)
{
	size_t length = strlen(dir);

	return strncmp(path, dir, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

static void take_watch(struct xen_store *store, const char *path, const char *token)
{
	struct xen_entry *entry;

	if (strcmp(token, domains_token) == 0) {
		for (entry = store->entries; entry; entry = entry->next)
			entry->due = true;
		store->scan_due = true;
		return;
	}
	for (entry = store->entries; entry; entry = entry->next) {
		if (strcmp(token, entry->dir) == 0 || is_within(path, entry->dir)) {
			entry->due = true;
			return;
		}
		/* What is removed with a directory above it has no event of its own. */
		if (is_within(entry->dir, path))
			entry->due = true;
	}
	store->scan_due = true;
}

static void take_watches(struct xen_store *store)
{
	char **event;

	while ((event = xs_check_watch(store->xs))) {
		take_watch(store, event[XS_WATCH_PATH], event[XS_WATCH_TOKEN]);
		free(event);
	}
}

static bool wants_writing(struct xen_store *store, struct xen_entry *entry)
{
	bool wants;

	pthread_mutex_lock(&store->lock);
	wants = entry->write_count > 0;
	pthread_mutex_unlock(&store->lock);
	return wants;
}

/* Does what is due. Returns when there will be something again. */
static uint64_t work(struct xen_store *store)
{
	uint64_t next_ns = clock_monotonic_ns() + XEN_HEARTBEAT_NS;
	struct xen_entry *entry;

	take_watches(store);
	if (store->scan_due)
		xen_devices_scan(store);
	for (entry = store->entries; entry && store->xs; entry = entry->next) {
		if (wants_writing(store, entry))
			flush(store, entry);
		if (!store->xs || !entry->due)
			continue;
		if (clock_monotonic_ns() >= entry->look_ns)
			xen_devices_look(store, entry);
		if (entry->due && entry->look_ns < next_ns)
			next_ns = entry->look_ns;
	}
	xen_devices_sweep(store);
	if (store->xs && clock_monotonic_ns() - store->answered_ns > XEN_HEARTBEAT_NS)
		xen_store_doubt(store);
	return next_ns;
}

static bool stopped(struct xen_store *store)
{
	bool stop;

	pthread_mutex_lock(&store->lock);
	stop = store->stop;
	pthread_mutex_unlock(&store->lock);
	return stop;
}

static void rest(struct xen_store *store, uint64_t until_ns)
{
	struct pollfd fds[] = {
		{.fd = store->wake, .events = POLLIN},
		{.fd = store->xs ? xs_fileno(store->xs) : -1, .events = POLLIN},
	};
	uint64_t now_ns = clock_monotonic_ns();
	uint64_t wait_ns = until_ns > now_ns ? until_ns - now_ns : 0;

	(void)poll(fds, 2, (int)((wait_ns + NS_PER_MS - 1) / NS_PER_MS));
	silence(store->wake);
}

static void *run(void *argument)
{
	struct xen_store *store = argument;

	while (!stopped(store)) {
		uint64_t next_ns = clock_monotonic_ns() + XEN_HEARTBEAT_NS;

		if (store->xs || reach(store) == 0)
			next_ns = work(store);
		rest(store, next_ns);
	}
	if (store->xs)
		(void)work(store); /* the last writes */
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

	silence(store->ready);
	pthread_mutex_lock(&store->lock);
	for (entry = store->entries; entry && !entry->fresh; entry = entry->next)
		;
	if (entry) {
		*snapshot = entry->snapshot;
		entry->fresh = false;
		entry->snapshot.renewed = false;
	}
	pthread_mutex_unlock(&store->lock);
	return entry != NULL;
}

/* All of the nodes or none. */
static int leave_writes(struct xen_entry *entry, const struct device_node *nodes, size_t count)
{
	size_t total = entry->write_count;
	size_t i;

	for (i = 0; i < count; i++)
		total += find_write(entry, nodes[i].key) == entry->write_count;
	if (total > XEN_WRITES_MAX)
		return -E2BIG;
	for (i = 0; i < count; i++) {
		size_t place = find_write(entry, nodes[i].key);

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
		error = leave_writes(entry, nodes, count);
	pthread_mutex_unlock(&store->lock);
	xen_store_ring(store->wake);
	return error;
}

static void release(struct xen_store *store)
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
	xen_store_ring(store->wake);
	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_nsec += (long)XEN_CLOSE_NS;
	deadline.tv_sec += deadline.tv_nsec / (long)NS_PER_S;
	deadline.tv_nsec %= (long)NS_PER_S;
	/* A xenstored that does not answer keeps its thread: the process ends with it. */
	if (pthread_timedjoin_np(store->thread, NULL, &deadline) == 0)
		release(store);
}

/* The thread gets no signals: they are the loop's. */
static int start_thread(struct xen_store *store)
{
	sigset_t all;
	sigset_t before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&store->thread, NULL, run, store);
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
	error = store->wake < 0 || store->ready < 0 ? -errno : reach(store);
	if (error) {
		release(store);
		return fault_set(fault, -error,
				 "xenstored can't be reached: %s; is it running, and is this the "
				 "control domain or a driver domain of a Xen host?",
				 strerror(-error));
	}
	error = start_thread(store);
	if (error) {
		release(store);
		return fault_set(fault, -error, "no thread for xenstore: %s", strerror(-error));
	}
	*opened = store;
	return 0;
}
