/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The supervisor's end: PV Calls devices, their xenstore nodes, and what happens to them. */
#ifndef TRANSPORT_DEVICE_H
#define TRANSPORT_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pvcalls/plugin.h>

#include "base/fault.h"
#include "base/loop.h"

/* XenbusState of xen/io/xenbus.h */
enum xenbus_state {
	XENBUS_UNKNOWN,
	XENBUS_INITIALISING,
	XENBUS_INIT_WAIT,
	XENBUS_INITIALISED,
	XENBUS_CONNECTED,
	XENBUS_CLOSING,
	XENBUS_CLOSED,
	XENBUS_RECONFIGURING,
	XENBUS_RECONFIGURED,
	XENBUS_STATES,
};

#define DEVICE_KEY_MAX   32 /* bytes of a node's name, with its NUL */
#define DEVICE_VALUE_MAX 32 /* bytes of a node's value, with its NUL: all of ours are numbers */
#define DEVICE_NODES_MAX 12 /* nodes of one transaction */

struct device_node {
	char key[DEVICE_KEY_MAX];
	char value[DEVICE_VALUE_MAX];
};

struct transport_host;

/* One guest's PV Calls device. Made by the transport, which owns it until removed() returned. */
struct device {
	struct transport_host *host;
	struct pvcalls_guest guest; /* attested by the transport */
	uint32_t uid;               /* local: of the process that is the guest; xen: 0 */
	/* As last read; UNKNOWN for whatever a guest wrote that is no state. */
	enum xenbus_state frontend;
	enum xenbus_state backend; /* as last written by us */
	bool online;               /* false: the toolstack wants the device gone */
	bool lasting; /* its rings outlive an engine: another one can go on with them */
	void *owner;  /* the supervisor's */
};

/* What the supervisor is told; never from within one of its own calls into the transport. */
struct device_events {
	/* A device appeared: frontend is INITIALISING or later, owner is NULL. */
	void (*added)(void *context, struct device *device);
	/* frontend or online changed. Several changes may come as one. */
	void (*changed)(void *context, struct device *device);
	/* The guest or its device is gone; the device is freed afterwards. */
	void (*removed)(void *context, struct device *device);
	/* The transport as a whole is in trouble (text says how), or is no more (NULL). (xen) */
	void (*trouble)(void *context, const char *text);
	/* Whether uid may be the guest of this name; otherwise fills *fault. (local) */
	bool (*may_attach)(void *context, uint32_t uid, const char *name, struct fault *fault);
	void *context;
};

struct transport_host_ops {
	void (*stop)(struct transport_host *host);
	/* Reads a node of the frontend's directory into value; 0, -ENOENT, or another -errno. */
	int (*read)(struct device *device, const char *key, char value[DEVICE_VALUE_MAX]);
	/* Writes nodes into the backend's directory as one transaction; 0 or -errno. */
	int (*write)(struct device *device, const struct device_node *nodes, size_t count);
	/* Descriptors for the engine's end, borrowed: at most TRANSPORT_DESCRIPTORS_MAX. Returns
	 * how many. */
	size_t (*descriptors)(struct device *device, int *fds);
	/* Ends the device from our side: the guest sees it vanish; removed() follows. */
	void (*drop)(struct device *device, const char *why);
};

struct transport_host {
	const struct transport_host_ops *ops;
};

#endif
