/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation. A watch says only that something changed. Each event makes a device "due",
 * however many there are of it, and a device that is due is read whole, at most once in LOOK_NS: a
 * guest that flips its state ten thousand times costs a hundred looks. The frontend's directory
 * belongs to the guest, so nothing is watched there but `state`.
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

#include "base/clock.h"
#include "base/fd.h"
#include "transport/xen_domain.h"
#include "transport/xen_nodes.h"

#define LOOK_NS (10 * NS_PER_MS) /* between two looks at one device */
#define HEARTBEAT_NS                                                            \
	(500 * NS_PER_MS) /* xenstored is asked at least so often; also between \
			     attempts to reach it, and looks at lost devices */
#define CLOSE_NS    (500 * NS_PER_MS)
#define DOMAINS_MAX 1024u /* with devices of ours, looked at in one scan */
#define DEVICES_MAX 8u    /* of one domain: the protocol has one */
#define WRITES_MAX  16u   /* nodes of one device that wait to be written */
#define DOMID_MAX   0x7fefu

static const char backends_token[] = "backends";
static const char domains_token[] = "domains";

/* What the frontend tells us of its ring. */
static const char *const frontend_keys[] = {"version",       "ring-ref",       "port",
					    "feature-names", "feature-cancel", "feature-reuse"};

struct entry {
	struct entry *next;
	struct xen_device_id id;
	char dir[XEN_PATH_MAX];      /* our own directory */
	char frontend[XEN_PATH_MAX]; /* the guest's */
	bool watched;                /* frontend/state, over this connection */
	bool known;                  /* it was there once, over this connection */
	bool due;
	uint64_t look_ns; /* not before this time */
	bool wrote;       /* our directory holds a state of ours */
	/* guarded by lock */
	struct xen_snapshot snapshot;
	bool fresh;  /* the snapshot was not taken yet */
	bool buried; /* taken as gone: the thread frees it */
	struct device_node writes[WRITES_MAX];
	size_t write_count;
};

struct xen_store {
	struct xs_handle *xs; /* of the thread; NULL: not reachable */
	uint32_t own_domid;
	char base[XEN_PATH_MAX]; /* our backend/pvcalls */
	bool scan_due;
	uint64_t answered_ns;
	pthread_t thread;
	int wake;  /* eventfd: the thread has something to do */
	int ready; /* eventfd: the owner has something to take */
	pthread_mutex_t lock;
	bool stop;
	bool reachable;
	struct entry *entries;
};

static void ring(int eventfd)
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
		ring(store->ready);
}

/* --- the connection --- */

static void lose(struct xen_store *store)
{
	xs_close(store->xs);
	store->xs = NULL;
	tell_reachable(store, false);
}

/* An operation failed for no reason of its own: is anybody there? */
static void doubt(struct xen_store *store)
{
	if (store->xs && !xen_nodes_answer(store->xs))
		lose(store);
	store->answered_ns = clock_monotonic_ns();
}

static int find_base(struct xen_store *store)
{
	int error = xen_nodes_number(store->xs, "", "domid", DOMID_MAX, &store->own_domid);

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
	struct entry *entry;
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

/* --- devices --- */

static struct entry *find(const struct xen_store *store, struct xen_device_id id)
{
	struct entry *entry;

	for (entry = store->entries; entry; entry = entry->next)
		if (entry->id.domid == id.domid && entry->id.devid == id.devid)
			break;
	return entry;
}

static void add_entry(struct xen_store *store, struct xen_device_id id)
{
	struct entry *entry = calloc(1, sizeof(*entry));

	if (!entry)
		return; /* found again by the next scan */
	entry->id = id;
	entry->due = true;
	entry->snapshot.id = id;
	snprintf(entry->dir, sizeof(entry->dir), "%.200s/%u/%u", store->base, id.domid, id.devid);
	pthread_mutex_lock(&store->lock);
	entry->next = store->entries;
	store->entries = entry;
	pthread_mutex_unlock(&store->lock);
}

static void scan_domain(struct xen_store *store, uint32_t domid)
{
	uint32_t devids[DEVICES_MAX];
	char dir[XEN_PATH_MAX];
	int count;
	int i;

	snprintf(dir, sizeof(dir), "%.200s/%u", store->base, domid);
	count = xen_nodes_list(store->xs, dir, devids, DEVICES_MAX);
	for (i = 0; i < count; i++) {
		struct xen_device_id id = {.domid = domid, .devid = devids[i]};

		if (!find(store, id))
			add_entry(store, id);
	}
}

static void scan(struct xen_store *store)
{
	uint32_t domids[DOMAINS_MAX];
	int count = xen_nodes_list(store->xs, store->base, domids, DOMAINS_MAX);
	int i;

	store->scan_due = false;
	if (count < 0)
		doubt(store);
	for (i = 0; i < count && store->xs; i++)
		if (domids[i] <= DOMID_MAX)
			scan_domain(store, domids[i]);
}

static void unwatch(struct xen_store *store, struct entry *entry)
{
	char path[XEN_PATH_MAX + 8];

	if (!entry->watched)
		return;
	entry->watched = false;
	snprintf(path, sizeof(path), "%s/state", entry->frontend);
	xs_unwatch(store->xs, path, entry->dir);
}

static void free_buried(struct xen_store *store)
{
	struct entry **link = &store->entries;

	pthread_mutex_lock(&store->lock);
	while (*link) {
		struct entry *entry = *link;

		if (entry->buried && !entry->fresh) {
			*link = entry->next;
			free(entry);
		} else {
			link = &entry->next;
		}
	}
	pthread_mutex_unlock(&store->lock);
}

/* Reads who the guest is. The toolstack's nodes: the guest can't write them. */
static void read_identity(struct xen_store *store, const struct entry *entry,
			  struct pvcalls_guest *guest)
{
	char dir[XEN_PATH_MAX];
	char vm[XEN_PATH_MAX];

	*guest = (struct pvcalls_guest){.size = sizeof(*guest), .domid = entry->id.domid};
	snprintf(dir, sizeof(dir), "/local/domain/%u", entry->id.domid);
	if (xen_nodes_text(store->xs, dir, "name", guest->name, sizeof(guest->name)))
		guest->name[0] = '\0';
	if (xen_nodes_text(store->xs, dir, "vm", vm, sizeof(vm)) == 0 &&
	    strncmp(vm, "/vm/", 4) == 0 && strlen(vm + 4) < sizeof(guest->uuid))
		memcpy(guest->uuid, vm + 4, strlen(vm + 4) + 1);
}

static enum xenbus_state read_state(struct xen_store *store, const char *dir)
{
	uint32_t state;

	if (xen_nodes_number(store->xs, dir, "state", XENBUS_STATES - 1, &state))
		return XENBUS_UNKNOWN;
	return (enum xenbus_state)state;
}

static void read_frontend(struct xen_store *store, const struct entry *entry,
			  struct xen_snapshot *snapshot)
{
	size_t i;

	/* The state comes first: what belongs to it was written before it. */
	snapshot->frontend = read_state(store, entry->frontend);
	if (snapshot->frontend != XENBUS_INITIALISED && snapshot->frontend != XENBUS_CONNECTED)
		return;
	for (i = 0; i < sizeof(frontend_keys) / sizeof(frontend_keys[0]); i++) {
		struct device_node *node = &snapshot->nodes[snapshot->node_count];

		if (xen_nodes_text(store->xs, entry->frontend, frontend_keys[i], node->value,
				   sizeof(node->value)))
			continue;
		snprintf(node->key, sizeof(node->key), "%s", frontend_keys[i]);
		snapshot->node_count++;
	}
}

/* Reads where the frontend's directory is, and watches its state. Returns 0 or -errno. */
static int meet(struct xen_store *store, struct entry *entry)
{
	char path[XEN_PATH_MAX + 8];
	char expected[XEN_PATH_MAX];
	int error = xen_nodes_text(store->xs, entry->dir, "frontend", entry->frontend,
				   sizeof(entry->frontend));

	if (error)
		return error;
	/* Of this domain and no other, whoever wrote it. */
	snprintf(expected, sizeof(expected), "/local/domain/%u/", entry->id.domid);
	if (strncmp(entry->frontend, expected, strlen(expected)) != 0)
		return -EINVAL;
	if (entry->watched)
		return 0;
	snprintf(path, sizeof(path), "%s/state", entry->frontend);
	if (!xs_watch(store->xs, path, entry->dir))
		return -errno;
	entry->watched = true;
	return 0;
}

static bool same(const struct xen_snapshot *a, const struct xen_snapshot *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static void publish(struct xen_store *store, struct entry *entry,
		    const struct xen_snapshot *snapshot)
{
	bool news;

	pthread_mutex_lock(&store->lock);
	news = !same(&entry->snapshot, snapshot);
	if (news) {
		bool renewed = snapshot->renewed || (entry->fresh && entry->snapshot.renewed);

		entry->snapshot = *snapshot;
		entry->snapshot.renewed = renewed;
		entry->fresh = true;
	}
	if (!snapshot->present || snapshot->renewed)
		entry->write_count = 0;
	pthread_mutex_unlock(&store->lock);
	if (news)
		ring(store->ready);
}

/* The directory is gone. A device that this xenstored never knew is kept while its domain lives. */
static void vanish(struct xen_store *store, struct entry *entry)
{
	struct xen_snapshot gone = {.id = entry->id};

	if (!entry->known && entry->snapshot.present && xen_domain_lives(entry->id.domid)) {
		entry->due = true;
		entry->look_ns = clock_monotonic_ns() + HEARTBEAT_NS;
		return;
	}
	unwatch(store, entry);
	publish(store, entry, &gone);
}

/* Whether the toolstack has made the directory anew since we wrote our state into it. */
static bool was_renewed(struct xen_store *store, struct entry *entry, enum xenbus_state own)
{
	bool renewed;

	pthread_mutex_lock(&store->lock);
	renewed = entry->wrote && !entry->write_count && own == XENBUS_INITIALISING;
	pthread_mutex_unlock(&store->lock);
	return renewed;
}

static void look(struct xen_store *store, struct entry *entry)
{
	struct xen_snapshot snapshot = {.id = entry->id, .present = true};
	uint32_t online = 0;
	int error;

	entry->due = false;
	entry->look_ns = clock_monotonic_ns() + LOOK_NS;
	error = meet(store, entry);
	if (error && error != -ENOENT && error != -EINVAL) {
		entry->due = true;
		doubt(store);
		return;
	}
	if (error || !xs_is_domain_introduced(store->xs, entry->id.domid)) {
		doubt(store); /* a connection that just broke looks like this too */
		if (store->xs)
			vanish(store, entry);
		return;
	}
	entry->known = true;
	snapshot.backend = read_state(store, entry->dir);
	snapshot.online =
		xen_nodes_number(store->xs, entry->dir, "online", 1, &online) == 0 && online;
	read_identity(store, entry, &snapshot.guest);
	read_frontend(store, entry, &snapshot);
	snapshot.renewed = was_renewed(store, entry, snapshot.backend);
	if (snapshot.renewed)
		entry->wrote = false;
	doubt(store);
	if (store->xs)
		publish(store, entry, &snapshot);
	else
		entry->due = true;
}

/* --- writing --- */

/* Puts nodes back that could not be written, unless newer values wait already. */
static void put_back(struct entry *entry, const struct device_node *nodes, size_t count)
{
	size_t i;
	size_t j;

	for (i = 0; i < count; i++) {
		for (j = 0; j < entry->write_count; j++)
			if (strcmp(entry->writes[j].key, nodes[i].key) == 0)
				break;
		if (j == entry->write_count && entry->write_count < WRITES_MAX)
			entry->writes[entry->write_count++] = nodes[i];
	}
}

static void flush(struct xen_store *store, struct entry *entry)
{
	struct device_node nodes[WRITES_MAX];
	size_t count;
	int error;

	pthread_mutex_lock(&store->lock);
	count = entry->write_count;
	memcpy(nodes, entry->writes, count * sizeof(*nodes));
	entry->write_count = 0;
	pthread_mutex_unlock(&store->lock);
	if (!count)
		return;
	error = xen_nodes_write(store->xs, entry->dir, "frontend", nodes, count);
	entry->wrote = !error || entry->wrote;
	if (!error)
		return;
	entry->due = true;
	if (error == -ENOENT)
		return;
	pthread_mutex_lock(&store->lock);
	put_back(entry, nodes, count);
	pthread_mutex_unlock(&store->lock);
	doubt(store);
}

/* --- the thread --- */

static void take_watch(struct xen_store *store, const char *path, const char *token)
{
	struct entry *entry;

	if (strcmp(token, domains_token) == 0) {
		for (entry = store->entries; entry; entry = entry->next)
			entry->due = true;
		store->scan_due = true;
		return;
	}
	for (entry = store->entries; entry; entry = entry->next) {
		size_t length = strlen(entry->dir);

		if (strcmp(token, entry->dir) == 0 ||
		    (strncmp(path, entry->dir, length) == 0 &&
		     (path[length] == '/' || path[length] == '\0'))) {
			entry->due = true;
			return;
		}
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

static bool wants_writing(struct xen_store *store, struct entry *entry)
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
	uint64_t next_ns = clock_monotonic_ns() + HEARTBEAT_NS;
	struct entry *entry;

	take_watches(store);
	if (store->scan_due)
		scan(store);
	for (entry = store->entries; entry && store->xs; entry = entry->next) {
		if (wants_writing(store, entry))
			flush(store, entry);
		if (!store->xs || !entry->due)
			continue;
		if (clock_monotonic_ns() >= entry->look_ns)
			look(store, entry);
		if (entry->due && entry->look_ns < next_ns)
			next_ns = entry->look_ns;
	}
	free_buried(store);
	if (store->xs && clock_monotonic_ns() - store->answered_ns > HEARTBEAT_NS)
		doubt(store);
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
		uint64_t next_ns = clock_monotonic_ns() + HEARTBEAT_NS;

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
	struct entry *entry;

	silence(store->ready);
	pthread_mutex_lock(&store->lock);
	for (entry = store->entries; entry && !entry->fresh; entry = entry->next)
		;
	if (entry) {
		*snapshot = entry->snapshot;
		entry->fresh = false;
		entry->snapshot.renewed = false;
		entry->buried = !entry->snapshot.present;
	}
	pthread_mutex_unlock(&store->lock);
	return entry != NULL;
}

int xen_store_write(struct xen_store *store, struct xen_device_id id,
		    const struct device_node *nodes, size_t count)
{
	struct entry *entry;
	int error = 0;
	size_t i;
	size_t j;

	pthread_mutex_lock(&store->lock);
	entry = find(store, id);
	/* What was meant for a device that is gone must not be written into its successor. */
	if (entry && (!entry->snapshot.present || (entry->fresh && entry->snapshot.renewed)))
		entry = NULL;
	for (i = 0; entry && i < count && !error; i++) {
		for (j = 0; j < entry->write_count; j++)
			if (strcmp(entry->writes[j].key, nodes[i].key) == 0)
				break;
		if (j == WRITES_MAX) {
			error = -E2BIG;
			break;
		}
		entry->writes[j] = nodes[i];
		if (j == entry->write_count)
			entry->write_count++;
	}
	pthread_mutex_unlock(&store->lock);
	ring(store->wake);
	return error;
}

static void release(struct xen_store *store)
{
	while (store->entries) {
		struct entry *entry = store->entries;

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
	ring(store->wake);
	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_nsec += (long)CLOSE_NS;
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

int xen_store_open(struct xen_store **made, struct fault *fault)
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
	*made = store;
	return 0;
}
