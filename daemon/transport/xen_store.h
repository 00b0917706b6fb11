/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Devices as xenstore shows them. A thread of its own speaks with xenstored, so that the
 * supervisor's loop never waits for it: what it found is taken as snapshots, what is to be written
 * is left with it.
 */
#ifndef TRANSPORT_XEN_STORE_H
#define TRANSPORT_XEN_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "transport/device.h"

struct xen_store;

/* A device's place: backend/pvcalls/DOMID/DEVID of our own domain. */
struct xen_device_id {
	uint32_t domid;
	uint32_t devid;
};

/* How a device stands in xenstore. */
struct xen_snapshot {
	struct xen_device_id id;
	bool present; /* false: its directory or its domain is gone, nothing else is valid */
	bool renewed; /* it was taken away meanwhile, and this is another one in its place */
	bool online;
	enum xenbus_state frontend;
	enum xenbus_state backend;                  /* what our own directory says */
	struct pvcalls_guest guest;                 /* name and uuid as the toolstack wrote them */
	struct device_node nodes[DEVICE_NODES_MAX]; /* of the frontend, in states 3 and 4 */
	size_t node_count;
};

/*
 * Connects to xenstored and begins to look for devices. Returns 0 and *opened, or -errno with
 * *fault.
 */
int xen_store_open(struct xen_store **opened, struct fault *fault);
/* Ends the thread; what is still to be written is written if xenstored answers within 500 ms. */
void xen_store_close(struct xen_store *store);

/* A descriptor that is readable when xen_store_take() has something. */
int xen_store_fd(const struct xen_store *store);
/*
 * Takes one device that has changed since it was last taken. Returns false if there is none. A
 * device that was taken as not present is forgotten.
 */
bool xen_store_take(struct xen_store *store, struct xen_snapshot *snapshot);
/* Whether xenstored answered last time. */
bool xen_store_reachable(struct xen_store *store);

/*
 * Has nodes written into a device's own directory, soon and as one transaction. Nodes of a device
 * that is gone are dropped. Returns 0, or -E2BIG if too many wait: then none of these does.
 */
int xen_store_write(struct xen_store *store, struct xen_device_id id,
		    const struct device_node *nodes, size_t count);

#endif
