/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the store share: xen_connection.c (the connection), xen_devices.c (devices as
 * they are found) and xen_store.c (the thread, and its owner's side).
 */
#ifndef TRANSPORT_XEN_STORE_STATE_H
#define TRANSPORT_XEN_STORE_STATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "transport/xen_nodes.h"
#include "transport/xen_store.h"

/* xenstored is asked at least so often; as often it is tried to be reached, and for lost devices.
 */
#define XEN_HEARTBEAT_NS (500 * NS_PER_MS)
#define XEN_READ_NS      (10 * NS_PER_MS) /* from one reading of a device to the next */
#define XEN_CLOSE_NS     (500 * NS_PER_MS)
#define XEN_DOMAINS_MAX  1024u /* with devices of ours, of one scan */
#define XEN_DEVICES_MAX  8u    /* of one domain: the protocol has one */
#define XEN_WRITES_MAX   16u   /* nodes of one device that wait to be written */
#define XEN_DOMID_MAX    0x7fefu

struct xs_handle;

struct xen_entry {
	struct xen_entry *next;
	struct xen_device_id id;
	char dir[XEN_PATH_MAX];      /* our own directory */
	char frontend[XEN_PATH_MAX]; /* the guest's */
	bool watched;                /* frontend/state, over this connection */
	bool known;                  /* it was there once, over this connection */
	bool due;
	uint64_t read_ns; /* not before this time */
	bool wrote;       /* our directory holds a state of ours, or is a new one */
	/* guarded by lock */
	struct xen_snapshot snapshot;
	bool fresh; /* the snapshot was not taken yet */
	struct device_node writes[XEN_WRITES_MAX];
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
	struct xen_entry *entries;
};

#endif
