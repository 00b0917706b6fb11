/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Xen transport: a guest without any driver for PV Calls, through the device nodes that every
 * distribution's kernel has. Pages come from gntalloc, event channels from evtchn, nodes go through
 * xenbus; xen_pages.c, xen_events.c and xen_store.c each hold one of them.
 *
 * One frontend at a time has the device, and gives it back when it ends; one that was killed leaves
 * it connected to pages that are no more, and the next one closes it first.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xentoollog.h>

#include "transport.h"
#include "why.h"
#include "xen_events.h"
#include "xen_pages.h"
#include "xen_store.h"

#define KERNEL_DRIVER "/sys/bus/xen/devices/pvcalls-0/driver"

struct xen_transport {
	struct front_transport base;
	struct xentoollog_logger quiet;
	struct xen_store store;
	struct xen_pages pages;
	struct xen_events events;
};

static struct xen_transport *xen_of(struct front_transport *transport)
{
	return (struct xen_transport *)transport;
}

static const struct xen_transport *xen_of_const(const struct front_transport *transport)
{
	return (const struct xen_transport *)transport;
}

/* What the libraries would print we say ourselves, from errno, to whom it concerns. */
__attribute__((format(printf, 5, 0))) static void say_nothing(struct xentoollog_logger *logger,
							      xentoollog_level level, int error,
							      const char *context,
							      const char *format, va_list arguments)
{
	(void)logger;
	(void)level;
	(void)error;
	(void)context;
	(void)format;
	(void)arguments;
}

static void keep_logger(struct xentoollog_logger *logger)
{
	(void)logger; /* part of the transport */
}

static void xen_close(struct front_transport *transport)
{
	struct xen_transport *xen = xen_of(transport);

	xen_store_give_back(&xen->store);
	xen_pages_close(&xen->pages);
	xen_store_close(&xen->store);
	/* Last, for its lock. */
	xen_events_close(&xen->events);
	free(xen);
}

static int xen_share(struct front_transport *transport, uint32_t order, void **pages,
		     uint32_t *refs)
{
	struct xen_transport *xen = xen_of(transport);
	int error = xen_pages_share(&xen->pages, order, pages, refs);

	if (error)
		transport->shortage = xen->pages.shortage;
	return error;
}

static void xen_unshare(struct front_transport *transport, void *pages, uint32_t order)
{
	xen_pages_unshare(&xen_of(transport)->pages, pages, order);
}

static int xen_port_open(struct front_transport *transport, uint32_t *port)
{
	struct xen_transport *xen = xen_of(transport);
	int error = xen_events_port_open(&xen->events, port);

	if (error)
		transport->shortage = xen->events.shortage;
	return error;
}

static void xen_port_close(struct front_transport *transport, uint32_t port)
{
	xen_events_port_close(&xen_of(transport)->events, port);
}

static void xen_notify(struct front_transport *transport, uint32_t port)
{
	xen_events_notify(&xen_of(transport)->events, port);
}

static void xen_mark(struct front_transport *transport, uint32_t port)
{
	xen_events_mark(&xen_of(transport)->events, port);
}

static void xen_ring(struct front_transport *transport)
{
	xen_events_ring(&xen_of(transport)->events);
}

static size_t xen_take(struct front_transport *transport, uint32_t *ports, size_t max)
{
	return xen_events_take(&xen_of(transport)->events, ports, max);
}

static bool xen_pending(const struct front_transport *transport)
{
	return xen_events_pending(&xen_of_const(transport)->events);
}

static bool xen_may_sleep(struct front_transport *transport)
{
	return xen_events_may_sleep(&xen_of(transport)->events);
}

static void xen_awake(struct front_transport *transport)
{
	(void)transport; /* the driver knows no sleep: a taken port is silent until it is opened */
}

static int xen_write(struct front_transport *transport, const char *lines)
{
	return xen_store_write(&xen_of(transport)->store, lines);
}

static int xen_read(const struct front_transport *transport, const char *key,
		    char value[FRONT_VALUE_MAX])
{
	return xen_store_read(&xen_of_const(transport)->store, key, value);
}

static int xen_listen(struct front_transport *transport, char *why)
{
	return xen_store_listen(&xen_of(transport)->store, why);
}

static const struct front_transport_ops xen_ops = {
	.close = xen_close,
	.share = xen_share,
	.unshare = xen_unshare,
	.port_open = xen_port_open,
	.port_close = xen_port_close,
	.notify = xen_notify,
	.mark = xen_mark,
	.ring = xen_ring,
	.take = xen_take,
	.pending = xen_pending,
	.may_sleep = xen_may_sleep,
	.awake = xen_awake,
	.write = xen_write,
	.read = xen_read,
	.listen = xen_listen,
};

/* The lock comes before anything is changed that another frontend may be using. */
static int open_parts(struct xen_transport *xen, uint64_t memory, uint32_t timeout_ms, char *why)
{
	int error = xen_store_open(&xen->store, why);

	if (!error && access(KERNEL_DRIVER, F_OK) == 0)
		error = why_set(why, EBUSY,
				"a driver of this guest's kernel has the PV Calls device "
				"(" KERNEL_DRIVER "): programs need no pvcalls-run, or unload it");
	if (!error)
		error = xen_events_open(&xen->events, &xen->quiet, xen->store.domid, why);
	if (!error)
		error = xen_pages_open(&xen->pages, &xen->quiet, xen->store.domid, memory, why);
	if (!error)
		error = xen_store_prepare(&xen->store, timeout_ms, why);
	return error;
}

int front_transport_xen(struct front_transport **transport, uint64_t memory, uint32_t timeout_ms,
			char *why)
{
	struct xen_transport *xen = calloc(1, sizeof(*xen));
	int error;

	if (!xen)
		return why_set(why, ENOMEM, "no memory for the transport");
	xen->base.ops = &xen_ops;
	xen->quiet = (struct xentoollog_logger){.vmessage = say_nothing, .destroy = keep_logger};
	error = open_parts(xen, memory, timeout_ms, why);
	if (error) {
		xen_close(&xen->base);
		return error;
	}
	xen->base.event_fd = xen->events.fd;
	xen->base.store_fd = xen_store_fd(&xen->store);
	*transport = &xen->base;
	return 0;
}
