/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * This guest's PV Calls device in xenstore: device/pvcalls/0 is ours, the directory that its node
 * `backend` names is the backend's and only read.
 *
 * The library that talks to xenstore reads from a thread of its own once there is a watch, so open
 * it in the process that uses it, not before a fork.
 */
#ifndef TRANSPORTS_XENBUS_H
#define TRANSPORTS_XENBUS_H

#include <stdbool.h>
#include <stdint.h>

#include "transports/front_transport.h"

#define XEN_PATH_MAX 128u

struct xs_handle;

struct xenbus {
	struct xs_handle *handle;
	char backend[XEN_PATH_MAX];  /* its directory */
	uint32_t domid;              /* the backend's domain */
	bool touched;                /* we have written */
	char state[FRONT_VALUE_MAX]; /* the backend's, as last heard; empty: its directory is gone
				      */
};

/* Whether this domain has a PV Calls device. */
bool xenbus_has_device(void);
/* Opens xenstore, finds the device and watches the backend's state. 0, or -errno and why. */
int xenbus_open(struct xenbus *xenbus, char *why);
void xenbus_close(struct xenbus *xenbus);
/* Readable when xenbus_refresh() has something to do. */
int xenbus_fd(const struct xenbus *xenbus);
/*
 * Waits until the backend offers the device to a new frontend, closing what a frontend that was
 * killed left behind. 0, or -errno and why.
 */
int xenbus_prepare(struct xenbus *xenbus, uint32_t timeout_ms, char *why);
/* Closes the device on our side and gives it back for the next frontend, if we had it at all. */
void xenbus_give_back(struct xenbus *xenbus);
/* The following are as in front_transport_ops. */
int xenbus_write(struct xenbus *xenbus, const char *lines);
int xenbus_read(const struct xenbus *xenbus, const char *key, char value[FRONT_VALUE_MAX]);
int xenbus_refresh(struct xenbus *xenbus, char *why);

#endif
