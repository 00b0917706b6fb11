/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * This guest's PV Calls device in xenstore: device/pvcalls/0 is ours, the directory that its node
 * `backend` names is the backend's and only read.
 *
 * The library that talks to xenstore reads from a thread of its own once there is a watch, so open
 * it in the process that uses it, not before a fork.
 */
#ifndef FRONTEND_XEN_STORE_H
#define FRONTEND_XEN_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "transport.h"

#define XEN_PATH_MAX 128u

struct xs_handle;

struct xen_store {
	struct xs_handle *handle;
	char backend[XEN_PATH_MAX];  /* its directory */
	uint32_t domid;              /* the backend's domain */
	bool touched;                /* we have written */
	char state[FRONT_VALUE_MAX]; /* the backend's, as last heard; empty: its directory is gone
				      */
};

/* Whether this domain has a PV Calls device. */
bool xen_store_has_device(void);
/* Opens xenstore, finds the device and watches the backend's state. 0, or -errno and why. */
int xen_store_open(struct xen_store *store, char *why);
void xen_store_close(struct xen_store *store);
/* Readable when listen() has something to do. */
int xen_store_fd(const struct xen_store *store);
/*
 * Waits until the backend offers the device to a new frontend, closing what a frontend that was
 * killed left behind. 0, or -errno and why.
 */
int xen_store_prepare(struct xen_store *store, uint32_t timeout_ms, char *why);
/* Closes the device on our side and gives it back for the next frontend, if we had it at all. */
void xen_store_give_back(struct xen_store *store);
/* The following are as in front_transport_ops. */
int xen_store_write(struct xen_store *store, const char *lines);
int xen_store_read(const struct xen_store *store, const char *key, char value[FRONT_VALUE_MAX]);
int xen_store_listen(struct xen_store *store, char *why);

#endif
