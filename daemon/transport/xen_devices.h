/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices as they are found in xenstore. All but xen_devices_find() are of the store's thread
 * alone. */
#ifndef TRANSPORT_XEN_DEVICES_H
#define TRANSPORT_XEN_DEVICES_H

#include "transport/xen_store.h"

struct xen_entry;

/* Finds the devices below our backend directory that are not known yet. */
void xen_devices_scan(struct xen_store *store);
/* The entry of a device, or NULL. The caller is the thread or holds store->lock. */
struct xen_entry *xen_devices_find(const struct xen_store *store, struct xen_device_id id);
/* Reads a device whole, and leaves what has changed for the owner. */
void xen_devices_read(struct xen_store *store, struct xen_entry *entry);
/* Frees what is gone, as the owner knows, or never was. */
void xen_devices_sweep(struct xen_store *store);

#endif
