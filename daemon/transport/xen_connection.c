/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "transport/xen_connection.h"

#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include <xenstore.h>

#include "base/assert.h"
#include "transport/xen_store_state.h"

static void xen_connection_tell(struct xen_store *store, bool reachable)
{
	bool changed;

	pthread_mutex_lock(&store->lock);
	changed = store->reachable != reachable;
	store->reachable = reachable;
	pthread_mutex_unlock(&store->lock);
	if (changed)
		(void)eventfd_write(store->ready, 1);
}

void xen_connection_doubt(struct xen_store *store)
{
	if (store->xs && !xen_nodes_answer(store->xs)) {
		xs_close(store->xs);
		store->xs = NULL;
		xen_connection_tell(store, false);
	}
	store->answered_ns = clock_monotonic_ns();
}

static int xen_connection_find_base(struct xen_store *store)
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

static bool xen_connection_watch(struct xen_store *store)
{
	return xs_watch(store->xs, store->base, "backends") &&
	       xs_watch(store->xs, "@releaseDomain", XEN_DOMAINS_TOKEN) &&
	       xs_watch(store->xs, "@introduceDomain", XEN_DOMAINS_TOKEN);
}

int xen_connection_open(struct xen_store *store)
{
	struct xen_entry *entry;
	int error;

	ASSERT(!store->xs);
	store->xs = xen_nodes_connect();
	if (!store->xs)
		return -errno;
	error = xen_connection_find_base(store);
	if (!error && !xen_connection_watch(store))
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
	xen_connection_tell(store, true);
	return 0;
}
