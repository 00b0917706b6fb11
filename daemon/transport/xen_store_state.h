/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What xen_store.c (the connection, the thread, its owner) and xen_devices.c (devices) share. */
#ifndef TRANSPORT_XEN_STORE_STATE_H
#define TRANSPORT_XEN_STORE_STATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "transport/xen_nodes.h"
#include "transport/xen_store.h"

#define XEN_LOOK_NS (10 * NS_PER_MS) /* between two looks at one device */
#define XEN_HEARTBEAT_NS                                                        \
	(500 * NS_PER_MS) /* xenstored is asked at least so often; also between \
			     attempts to reach it, and looks at lost devices */
#define XEN_CLOSE_NS    (500 * NS_PER_MS)
#define XEN_DOMAINS_MAX 1024u /* with devices of ours, looked at in one scan */
#define XEN_DEVICES_MAX 8u    /* of one domain: the protocol has one */
#define XEN_WRITES_MAX  16u   /* nodes of one device that wait to be written */
#define XEN_DOMID_MAX   0x7fefu

struct xs_handle;

struct xen_entry {
	struct xen_entry *next;
	struct xen_device_id id;
	char dir[XEN_PATH_MAX];      /* our own directory */
	char frontend[XEN_PATH_MAX]; /* the guest's */
	bool watched;                /* frontend/state, over this connection */
	bool known;                  /* it was there once, over this connection */
	bool due;
	uint64_t look_ns; /* not before this time */
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

/* Wakes who sleeps on this eventfd. */
void xen_store_ring(int eventfd);
/* An operation may have failed because nobody is there: asks, and gives the connection up if so. */
void xen_store_doubt(struct xen_store *store);

/* Finds the devices below our backend directory that are not known yet. */
void xen_devices_scan(struct xen_store *store);
struct xen_entry *xen_devices_find(const struct xen_store *store, struct xen_device_id id);
/* Reads a device whole, and leaves what has changed for the owner. */
void xen_devices_look(struct xen_store *store, struct xen_entry *entry);
/* Frees what is gone, as the owner knows, or never was. */
void xen_devices_sweep(struct xen_store *store);

#endif
