/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Xen transport: a guest without any driver for PV Calls, through the device nodes that every
 * distribution's kernel has. Pages come from gntalloc, event channels from evtchn, nodes go through
 * xenbus; xen_pages.c, xen_events.c and xenbus.c each hold one of them.
 *
 * One frontend at a time has the device, and gives it back when it ends; one that was killed leaves
 * it connected to pages that are no more, and the next one closes it first.
 */
#include "transports/xen_transport.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xentoollog.h>

#include "transports/why.h"
#include "transports/xen_events.h"
#include "transports/xen_pages.h"
#include "transports/xenbus.h"

#define KERNEL_DRIVER "/sys/bus/xen/devices/pvcalls-0/driver"

struct xen_transport {
	struct front_transport base;
	struct xentoollog_logger quiet;
	struct xenbus xenbus;
	struct xen_pages pages;
	struct xen_events events;
};

static struct xen_transport *xen_transport_of(struct front_transport *transport)
{
	return (struct xen_transport *)transport;
}

static const struct xen_transport *xen_transport_of_const(const struct front_transport *transport)
{
	return (const struct xen_transport *)transport;
}

/* What the libraries would print we say ourselves, from errno, to whom it concerns. */
__attribute__((format(printf, 5, 0))) static void
xen_transport_log_nothing(struct xentoollog_logger *logger, xentoollog_level level, int error,
			  const char *context, const char *format, va_list arguments)
{
	(void)logger;
	(void)level;
	(void)error;
	(void)context;
	(void)format;
	(void)arguments;
}

static void xen_transport_keep_logger(struct xentoollog_logger *logger)
{
	(void)logger; /* part of the transport */
}

static void xen_transport_close(struct front_transport *transport)
{
	struct xen_transport *xen = xen_transport_of(transport);

	xenbus_give_back(&xen->xenbus);
	xen_pages_close(&xen->pages);
	xenbus_close(&xen->xenbus);
	/* Last, for its lock. */
	xen_events_close(&xen->events);
	free(xen);
}

static int xen_transport_share(struct front_transport *transport, uint32_t order, void **pages,
			       uint32_t *refs)
{
	struct xen_transport *xen = xen_transport_of(transport);
	int error = xen_pages_share(&xen->pages, order, pages, refs);

	if (error)
		transport->shortage = xen->pages.shortage;
	return error;
}

static void xen_transport_unshare(struct front_transport *transport, void *pages, uint32_t order)
{
	xen_pages_unshare(&xen_transport_of(transport)->pages, pages, order);
}

static int xen_transport_port_open(struct front_transport *transport, uint32_t *port)
{
	struct xen_transport *xen = xen_transport_of(transport);
	int error = xen_events_port_open(&xen->events, port);

	if (error)
		transport->shortage = xen->events.shortage;
	return error;
}

static void xen_transport_port_close(struct front_transport *transport, uint32_t port)
{
	xen_events_port_close(&xen_transport_of(transport)->events, port);
}

static void xen_transport_notify(struct front_transport *transport, uint32_t port)
{
	xen_events_notify(&xen_transport_of(transport)->events, port);
}

static void xen_transport_mark(struct front_transport *transport, uint32_t port)
{
	xen_events_mark(&xen_transport_of(transport)->events, port);
}

static void xen_transport_notify_marked(struct front_transport *transport)
{
	xen_events_notify_marked(&xen_transport_of(transport)->events);
}

static size_t xen_transport_take(struct front_transport *transport, uint32_t *ports, size_t max)
{
	return xen_events_take(&xen_transport_of(transport)->events, ports, max);
}

static bool xen_transport_pending(const struct front_transport *transport)
{
	return xen_events_pending(&xen_transport_of_const(transport)->events);
}

static bool xen_transport_may_sleep(struct front_transport *transport)
{
	return xen_events_may_sleep(&xen_transport_of(transport)->events);
}

static void xen_transport_awake(struct front_transport *transport)
{
	(void)transport; /* the driver knows no sleep: a taken port is silent until it is opened */
}

static int xen_transport_write(struct front_transport *transport, const char *lines)
{
	return xenbus_write(&xen_transport_of(transport)->xenbus, lines);
}

static int xen_transport_read(const struct front_transport *transport, const char *key,
			      char value[FRONT_VALUE_MAX])
{
	return xenbus_read(&xen_transport_of_const(transport)->xenbus, key, value);
}

static int xen_transport_refresh(struct front_transport *transport, char *why)
{
	return xenbus_refresh(&xen_transport_of(transport)->xenbus, why);
}

static const struct front_transport_ops xen_transport_ops = {
	.close = xen_transport_close,
	.share = xen_transport_share,
	.unshare = xen_transport_unshare,
	.port_open = xen_transport_port_open,
	.port_close = xen_transport_port_close,
	.notify = xen_transport_notify,
	.mark = xen_transport_mark,
	.notify_marked = xen_transport_notify_marked,
	.take = xen_transport_take,
	.pending = xen_transport_pending,
	.may_sleep = xen_transport_may_sleep,
	.awake = xen_transport_awake,
	.write = xen_transport_write,
	.read = xen_transport_read,
	.refresh = xen_transport_refresh,
};

/* The lock comes before anything is changed that another frontend may be using. */
static int xen_transport_open_parts(struct xen_transport *xen, uint64_t memory, uint32_t timeout_ms,
				    char *why)
{
	int error = xenbus_open(&xen->xenbus, why);

	if (!error && access(KERNEL_DRIVER, F_OK) == 0)
		error = why_set(why, EBUSY,
				"a driver of this guest's kernel has the PV Calls device "
				"(" KERNEL_DRIVER "): programs need no pvcalls-run, or unload it");
	if (!error)
		error = xen_events_open(&xen->events, &xen->quiet, xen->xenbus.domid, why);
	if (!error)
		error = xen_pages_open(&xen->pages, &xen->quiet, xen->xenbus.domid, memory, why);
	if (!error)
		error = xenbus_prepare(&xen->xenbus, timeout_ms, why);
	return error;
}

int xen_transport_open(struct front_transport **transport, uint64_t memory, uint32_t timeout_ms,
		       char *why)
{
	struct xen_transport *xen = calloc(1, sizeof(*xen));
	int error;

	if (!xen)
		return why_set(why, ENOMEM, "no memory for the transport");
	xen->base.ops = &xen_transport_ops;
	xen->quiet = (struct xentoollog_logger){.vmessage = xen_transport_log_nothing,
						.destroy = xen_transport_keep_logger};
	error = xen_transport_open_parts(xen, memory, timeout_ms, why);
	if (error) {
		xen_transport_close(&xen->base);
		return error;
	}
	xen->base.event_fd = xen->events.fd;
	xen->base.store_fd = xenbus_fd(&xen->xenbus);
	*transport = &xen->base;
	return 0;
}
