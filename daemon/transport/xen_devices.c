/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "transport/xen_devices.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include <xenstore.h>

#include "base/assert.h"
#include "transport/xen_connection.h"
#include "transport/xen_domain.h"
#include "transport/xen_store_state.h"

/* What the frontend tells us of its ring. */
static const char *const frontend_keys[] = {"version",
					    "ring-ref",
					    "port",
					    "feature-names",
					    "feature-names-on-demand",
					    "feature-cancel",
					    "feature-reuse",
					    "feature-shutdown",
					    "feature-park"};

_Static_assert(sizeof(frontend_keys) / sizeof(frontend_keys[0]) <= DEVICE_NODES_MAX,
	       "a snapshot has room for all of them");

struct xen_entry *xen_devices_find(const struct xen_store *store, struct xen_device_id id)
{
	struct xen_entry *entry;

	for (entry = store->entries; entry; entry = entry->next)
		if (entry->id.domid == id.domid && entry->id.devid == id.devid)
			break;
	return entry;
}

static void xen_entry_add(struct xen_store *store, struct xen_device_id id)
{
	struct xen_entry *entry = calloc(1, sizeof(*entry));

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

static void xen_devices_scan_domain(struct xen_store *store, uint32_t domid)
{
	uint32_t devids[XEN_DEVICES_MAX];
	char dir[XEN_PATH_MAX];
	int count;
	int i;

	snprintf(dir, sizeof(dir), "%.200s/%u", store->base, domid);
	count = xen_nodes_list(store->xs, dir, devids, XEN_DEVICES_MAX);
	for (i = 0; i < count; i++) {
		struct xen_device_id id = {.domid = domid, .devid = devids[i]};

		if (!xen_devices_find(store, id))
			xen_entry_add(store, id);
	}
}

void xen_devices_scan(struct xen_store *store)
{
	uint32_t domids[XEN_DOMAINS_MAX];
	int count = xen_nodes_list(store->xs, store->base, domids, XEN_DOMAINS_MAX);
	int i;

	ASSERT(store->xs);
	store->scan_due = false;
	if (count < 0)
		xen_connection_doubt(store);
	for (i = 0; i < count && store->xs; i++)
		if (domids[i] <= XEN_DOMID_MAX)
			xen_devices_scan_domain(store, domids[i]);
}

static void xen_entry_unwatch(struct xen_store *store, struct xen_entry *entry)
{
	char path[XEN_PATH_MAX + 8];

	if (!entry->watched)
		return;
	entry->watched = false;
	snprintf(path, sizeof(path), "%s/state", entry->frontend);
	xs_unwatch(store->xs, path, entry->dir);
}

void xen_devices_sweep(struct xen_store *store)
{
	struct xen_entry **link = &store->entries;

	pthread_mutex_lock(&store->lock);
	while (*link) {
		struct xen_entry *entry = *link;

		/* One that is due may be another one in the place of what was taken as gone. */
		if (!entry->snapshot.present && !entry->fresh && !entry->due) {
			*link = entry->next;
			free(entry);
		} else {
			link = &entry->next;
		}
	}
	pthread_mutex_unlock(&store->lock);
}

/* Reads who the guest is. The toolstack's nodes: the guest can't write them. */
static void xen_entry_read_identity(struct xen_store *store, const struct xen_entry *entry,
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

static enum xenbus_state xen_devices_read_state(struct xen_store *store, const char *dir)
{
	uint32_t state;

	if (xen_nodes_number(store->xs, dir, "state", XENBUS_STATES - 1, &state))
		return XENBUS_UNKNOWN;
	return (enum xenbus_state)state;
}

static void xen_entry_read_frontend(struct xen_store *store, const struct xen_entry *entry,
				    struct xen_snapshot *snapshot)
{
	size_t i;

	/* The state comes first: what belongs to it was written before it. */
	snapshot->frontend = xen_devices_read_state(store, entry->frontend);
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

/* Reads where the frontend's directory is. Returns 0, -EINVAL, -ENOENT or another -errno. */
static int xen_entry_read_place(struct xen_store *store, const struct xen_entry *entry,
				char frontend[XEN_PATH_MAX])
{
	char expected[XEN_PATH_MAX];
	int error = xen_nodes_text(store->xs, entry->dir, "frontend", frontend, XEN_PATH_MAX);

	if (error)
		return error == -E2BIG ? -EINVAL : error;
	/* Of this domain and no other, whoever wrote it. */
	snprintf(expected, sizeof(expected), "/local/domain/%u/", entry->id.domid);
	return strncmp(frontend, expected, strlen(expected)) == 0 ? 0 : -EINVAL;
}

/* Finds the frontend's directory and watches its state. Returns as xen_entry_read_place(). */
static int xen_entry_watch(struct xen_store *store, struct xen_entry *entry)
{
	char frontend[XEN_PATH_MAX];
	char path[XEN_PATH_MAX + 8];
	int error = xen_entry_read_place(store, entry, frontend);

	if (error)
		return error;
	if (strcmp(entry->frontend, frontend) != 0)
		xen_entry_unwatch(store, entry);
	if (entry->watched)
		return 0;
	memcpy(entry->frontend, frontend, sizeof(entry->frontend));
	snprintf(path, sizeof(path), "%s/state", entry->frontend);
	if (!xs_watch(store->xs, path, entry->dir))
		return -errno;
	entry->watched = true;
	return 0;
}

static bool xen_snapshot_same_nodes(const struct xen_snapshot *a, const struct xen_snapshot *b)
{
	size_t i;

	if (a->node_count != b->node_count)
		return false;
	for (i = 0; i < a->node_count; i++)
		if (strcmp(a->nodes[i].key, b->nodes[i].key) != 0 ||
		    strcmp(a->nodes[i].value, b->nodes[i].value) != 0)
			return false;
	return true;
}

static bool xen_snapshot_same(const struct xen_snapshot *a, const struct xen_snapshot *b)
{
	return a->present == b->present && a->renewed == b->renewed && a->online == b->online &&
	       a->frontend == b->frontend && a->backend == b->backend &&
	       strcmp(a->guest.name, b->guest.name) == 0 &&
	       strcmp(a->guest.uuid, b->guest.uuid) == 0 && xen_snapshot_same_nodes(a, b);
}

static void xen_entry_publish(struct xen_store *store, struct xen_entry *entry,
			      const struct xen_snapshot *snapshot)
{
	bool news;

	pthread_mutex_lock(&store->lock);
	news = !xen_snapshot_same(&entry->snapshot, snapshot);
	if (news) {
		/* Whoever was not told yet that the one before is gone learns it from this. */
		bool renewed =
			snapshot->renewed ||
			(entry->fresh && (entry->snapshot.renewed || !entry->snapshot.present));

		entry->snapshot = *snapshot;
		entry->snapshot.renewed = renewed;
		entry->fresh = true;
	}
	if (!snapshot->present || snapshot->renewed)
		entry->write_count = 0;
	pthread_mutex_unlock(&store->lock);
	if (news)
		(void)eventfd_write(store->ready, 1);
}

/* The directory is gone. A device that this xenstored never knew is kept while its domain lives. */
static void xen_entry_vanish(struct xen_store *store, struct xen_entry *entry)
{
	struct xen_snapshot gone = {.id = entry->id};

	if (!entry->known && entry->snapshot.present && xen_domain_lives(entry->id.domid)) {
		entry->due = true;
		entry->read_ns = clock_monotonic_ns() + XEN_HEARTBEAT_NS;
		return;
	}
	xen_entry_unwatch(store, entry);
	xen_entry_publish(store, entry, &gone);
}

/* Whether the toolstack has made the directory anew since we wrote our state into it. */
static bool xen_entry_was_renewed(struct xen_store *store, struct xen_entry *entry,
				  enum xenbus_state own)
{
	bool renewed;

	pthread_mutex_lock(&store->lock);
	renewed = entry->wrote && !entry->write_count && own == XENBUS_INITIALISING;
	pthread_mutex_unlock(&store->lock);
	return renewed;
}

void xen_devices_read(struct xen_store *store, struct xen_entry *entry)
{
	struct xen_snapshot snapshot = {.id = entry->id, .present = true};
	uint32_t online = 0;
	int error;

	ASSERT(store->xs);
	entry->due = false;
	entry->read_ns = clock_monotonic_ns() + XEN_READ_NS;
	error = xen_entry_watch(store, entry);
	if (error && error != -ENOENT && error != -EINVAL) {
		entry->due = true;
		xen_connection_doubt(store);
		return;
	}
	if (error || !xs_is_domain_introduced(store->xs, entry->id.domid)) {
		xen_connection_doubt(store); /* a connection that just broke looks like this too */
		if (store->xs)
			xen_entry_vanish(store, entry);
		return;
	}
	entry->known = true;
	snapshot.backend = xen_devices_read_state(store, entry->dir);
	snapshot.online =
		xen_nodes_number(store->xs, entry->dir, "online", 1, &online) == 0 && online;
	xen_entry_read_identity(store, entry, &snapshot.guest);
	xen_entry_read_frontend(store, entry, &snapshot);
	snapshot.renewed = xen_entry_was_renewed(store, entry, snapshot.backend);
	if (snapshot.renewed)
		entry->wrote = false;
	xen_connection_doubt(store);
	if (store->xs)
		xen_entry_publish(store, entry, &snapshot);
	else
		entry->due = true;
}
