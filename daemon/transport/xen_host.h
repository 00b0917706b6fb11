/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The supervisor's end of the Xen transport. */
#ifndef TRANSPORT_XEN_HOST_H
#define TRANSPORT_XEN_HOST_H

#include "transport/device.h"

/*
 * Starts the Xen transport; needs root in Dom0 or a driver domain. Returns 0 and *transport, or
 * -errno with *fault: -EBUSY if another backend serves this host. events and loop must outlive it.
 */
int xen_host_listen(struct transport_host **transport, struct loop *loop,
		    const struct device_events *events, struct fault *fault);

#endif
