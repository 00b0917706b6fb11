/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Event channels to the backend, from /dev/xen/evtchn.
 *
 * System calls are what costs here (each goes through the hypervisor in a PV guest), so ports are
 * read many at once, and opened for their next event many at once and late: when we have done what
 * they asked for, before we ask again or sleep. What comes meanwhile is one event then.
 */
#ifndef TRANSPORTS_XEN_EVENTS_H
#define TRANSPORTS_XEN_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xenevtchn.h>

#include "transports/front_transport.h"

#define XEN_EVENTS_AT_ONCE 256u
#define XEN_MARKS_MAX      64u

struct xen_events {
	xenevtchn_handle *channels;
	int fd;
	uint32_t domid;
	bool more;       /* there may be ports that take() had no room for */
	uint32_t masked; /* ports taken and not opened again */
	evtchn_port_t mask[XEN_EVENTS_AT_ONCE];
	uint32_t marks; /* ports to be notified by xen_events_notify_marked() */
	uint32_t mark[XEN_MARKS_MAX];
	uint64_t is_marked[FRONT_PORTS / 64];
	const char *shortage; /* as in struct xen_pages */
};

/*
 * Opens the driver for channels to domid, and locks it: a guest has one PV Calls device, hence one
 * frontend. 0, or -errno with a line in why; -EBUSY: there is another frontend.
 */
int xen_events_open(struct xen_events *events, struct xentoollog_logger *logger, uint32_t domid,
		    char *why);
void xen_events_close(struct xen_events *events);
/* The following are as in front_transport_ops. */
int xen_events_port_open(struct xen_events *events, uint32_t *port);
void xen_events_port_close(struct xen_events *events, uint32_t port);
void xen_events_notify(struct xen_events *events, uint32_t port);
void xen_events_mark(struct xen_events *events, uint32_t port);
void xen_events_notify_marked(struct xen_events *events);
size_t xen_events_take(struct xen_events *events, uint32_t *ports, size_t max);
/* True also while events are held back: somebody who is never about to sleep has to take them. */
bool xen_events_pending(const struct xen_events *events);
bool xen_events_may_sleep(struct xen_events *events);

#endif
