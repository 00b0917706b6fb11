/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine's end of the Xen transport.
 *
 * Theory of operation. Grants are mapped through /dev/xen/gntdev, event channels are bound through
 * /dev/xen/evtchn, each opened by the engine itself before it gives up its privileges: a mapping
 * belongs to the process that made it and does not survive a fork. The event handle is restricted
 * to the guest's domain where the kernel can; the grant handle can't be restricted, but a grant is
 * of use only if its owner gave it to this domain.
 *
 * The kernel masks a port when it reports its event (xen-evtchn is "lateeoi") until the port is
 * written back, so a guest that storms events is slowed down by its own hypervisor calls. Ports are
 * written back together before the engine sleeps: on a PV domain a system call costs as much as
 * copying many kilobytes. For the same reason ports are read as many as there are, past the
 * library, which takes one a call.
 */
#include "transport/xen_backend.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xenevtchn.h>
#include <xengnttab.h>
#include <xentoollog.h>

/* These need the types of those above. */
#include <xen/sys/evtchn.h>
#include <xen/sys/gntdev.h>

#include "base/assert.h"
#include "ring/layout.h"

#define PORTS_PER_CALL 256u
#define PORT_WORDS     (TRANSPORT_PORTS / 64u)

struct xen_backend {
	struct transport base;
	xengnttab_handle *grants;
	xenevtchn_handle *events;
	xentoollog_logger silent;
	uint32_t domid;
	bool readable;              /* the descriptor may hold ports */
	uint64_t bound[PORT_WORDS]; /* an event of a port that was just unbound may still be read */
	uint32_t done[PORTS_PER_CALL]; /* ports to be unmasked */
	uint32_t done_count;
	uint32_t retold; /* ports below are told again after events were lost; all: none was */
};

static struct xen_backend *xen_of(struct transport *transport)
{
	return (struct xen_backend *)transport;
}

static bool xen_port_is_bound(const struct xen_backend *xen, uint32_t port)
{
	return port < TRANSPORT_PORTS && xen->bound[port / 64] >> (port % 64) & 1;
}

static void xen_close(struct transport *transport)
{
	struct xen_backend *xen = xen_of(transport);

	if (xen->events)
		xenevtchn_close(xen->events);
	if (xen->grants)
		xengnttab_close(xen->grants);
	free(xen);
}

static int xen_map(struct transport *transport, const uint32_t *refs, uint32_t count, void **span)
{
	struct xen_backend *xen = xen_of(transport);
	uint32_t copy[DATA_REFS_MAX];

	if (count == 0 || count > DATA_REFS_MAX)
		return -EINVAL;
	memcpy(copy, refs, count * sizeof(*refs)); /* the library's parameter is not const */
	*span = xengnttab_map_domain_grant_refs(xen->grants, count, xen->domid, copy,
						PROT_READ | PROT_WRITE);
	if (*span)
		return 0;
	return errno ? -errno : -EINVAL;
}

static void xen_unmap(struct transport *transport, void *span, uint32_t count)
{
	/* Can only fail for a span that was never mapped. */
	(void)xengnttab_unmap(xen_of(transport)->grants, span, count);
}

static int xen_bind(struct transport *transport, uint32_t remote_port, uint32_t *port)
{
	struct xen_backend *xen = xen_of(transport);
	xenevtchn_port_or_error_t local =
		xenevtchn_bind_interdomain(xen->events, xen->domid, remote_port);

	if (local < 0)
		return -errno;
	if ((uint32_t)local >= TRANSPORT_PORTS) {
		xenevtchn_unbind(xen->events, (evtchn_port_t)local);
		return -ENOSPC;
	}
	*port = (uint32_t)local;
	xen->bound[*port / 64] |= 1ull << (*port % 64);
	return 0;
}

static void xen_done_forget(struct xen_backend *xen, uint32_t port)
{
	uint32_t i;

	for (i = 0; i < xen->done_count; i++)
		if (xen->done[i] == port)
			xen->done[i--] = xen->done[--xen->done_count];
}

static void xen_unbind(struct transport *transport, uint32_t port)
{
	struct xen_backend *xen = xen_of(transport);

	ASSERT(port < TRANSPORT_PORTS);
	xen_done_forget(xen, port);
	xen->bound[port / 64] &= ~(1ull << (port % 64));
	xenevtchn_unbind(xen->events, port);
}

static void xen_notify(struct transport *transport, uint32_t port)
{
	/* Fails only for a port that is not bound. */
	(void)xenevtchn_notify(xen_of(transport)->events, port);
}

static void xen_done_unmask(struct xen_backend *xen)
{
	if (!xen->done_count)
		return;
	/* The kernel takes all of them or none, and none only if one is not bound. */
	if (write(xen->base.fd, xen->done, xen->done_count * sizeof(*xen->done)) < 0)
		errno = 0;
	xen->done_count = 0;
}

/*
 * The kernel's queue has room for one event of each bound port. A port has an event from the moment
 * it is bound, and those of ports that were unbound before anybody read them are in the queue, too.
 * Once it was over full the kernel tells of nothing until it is reset. What was lost is not known
 * then, so every bound port is told: a port without an event costs a look.
 */
static void xen_queue_reset(struct xen_backend *xen)
{
	int error = ioctl(xen->base.fd, IOCTL_EVTCHN_RESET);

	ASSERT(!error); /* nothing would be heard any more */
	xen->retold = 0;
}

static int xen_tell_again(struct xen_backend *xen, uint32_t *ports, size_t max)
{
	size_t count = 0;

	for (; xen->retold < TRANSPORT_PORTS && count < max; xen->retold++)
		if (xen_port_is_bound(xen, xen->retold))
			ports[count++] = xen->retold;
	return (int)count;
}

static int xen_pending(struct transport *transport, uint32_t *ports, size_t max)
{
	struct xen_backend *xen = xen_of(transport);
	int count = 0;
	ssize_t bytes;
	size_t i;

	xen_done_unmask(xen);
	if (xen->retold < TRANSPORT_PORTS)
		return xen_tell_again(xen, ports, max);
	if (!xen->readable)
		return 0;
	bytes = read(xen->base.fd, ports, max * sizeof(*ports));
	if (bytes < 0 && errno == EFBIG) {
		xen_queue_reset(xen);
		return xen_tell_again(xen, ports, max);
	}
	if (bytes < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if ((size_t)bytes < max * sizeof(*ports))
		xen->readable = false;
	for (i = 0; i < (size_t)bytes / sizeof(*ports); i++)
		if (xen_port_is_bound(xen, ports[i]))
			ports[count++] = ports[i];
	return count;
}

static void xen_unmask(struct transport *transport, uint32_t port)
{
	struct xen_backend *xen = xen_of(transport);

	ASSERT(xen->done_count <= PORTS_PER_CALL);
	if (xen->done_count == PORTS_PER_CALL)
		xen_done_unmask(xen);
	xen->done[xen->done_count++] = port;
}

static bool xen_may_sleep(struct transport *transport)
{
	/* What came while a port was masked makes the descriptor readable now. */
	xen_done_unmask(xen_of(transport));
	return xen_of(transport)->retold == TRANSPORT_PORTS;
}

static void xen_awake(struct transport *transport)
{
	(void)transport;
}

static void xen_readable(struct transport *transport)
{
	xen_of(transport)->readable = true;
}

static const uint32_t xen_ioctls[] = {
	IOCTL_GNTDEV_MAP_GRANT_REF,
	IOCTL_GNTDEV_UNMAP_GRANT_REF,
	IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR,
	IOCTL_EVTCHN_BIND_INTERDOMAIN,
	IOCTL_EVTCHN_UNBIND,
	IOCTL_EVTCHN_NOTIFY,
	IOCTL_EVTCHN_RESET,
};

static const struct transport_ops xen_ops = {
	.close = xen_close,
	.map = xen_map,
	.unmap = xen_unmap,
	.bind = xen_bind,
	.unbind = xen_unbind,
	.notify = xen_notify,
	.pending = xen_pending,
	.unmask = xen_unmask,
	.may_sleep = xen_may_sleep,
	.awake = xen_awake,
	.readable = xen_readable,
};

/* The library logs each failed map to standard error; a guest could fill a disk with that. */
static void xen_log_nothing(xentoollog_logger *logger, xentoollog_level level, int error,
			    const char *context, const char *format, va_list arguments)
{
	(void)logger;
	(void)level;
	(void)error;
	(void)context;
	(void)format;
	(void)arguments;
}

static int xen_open_grants(struct xen_backend *xen, struct fault *fault)
{
	xen->grants = xengnttab_open(&xen->silent, 0);
	if (!xen->grants)
		return fault_set(fault, errno,
				 "/dev/xen/gntdev can't be opened: %s; load the module xen-gntdev",
				 strerror(errno));
	return 0;
}

static int xen_open_events(struct xen_backend *xen, struct fault *fault)
{
	int flags;

	xen->events = xenevtchn_open(&xen->silent, 0);
	if (!xen->events)
		return fault_set(fault, errno,
				 "/dev/xen/evtchn can't be opened: %s; load the module xen-evtchn",
				 strerror(errno));
	/* Kernels before 4.10 can't: the engine then could bind another domain's open channels. */
	if (xenevtchn_restrict(xen->events, (domid_t)xen->domid) < 0 && errno != ENOTTY &&
	    errno != EOPNOTSUPP)
		return fault_set(fault, errno, "/dev/xen/evtchn can't be restricted: %s",
				 strerror(errno));
	xen->base.fd = xenevtchn_fd(xen->events);
	flags = fcntl(xen->base.fd, F_GETFL);
	if (flags < 0 || fcntl(xen->base.fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return fault_set(fault, errno, "/dev/xen/evtchn: %s", strerror(errno));
	return 0;
}

int xen_backend_open(struct transport **transport, uint32_t domid, struct fault *fault)
{
	struct xen_backend *xen = calloc(1, sizeof(*xen));
	int error;

	if (!xen)
		return fault_set(fault, ENOMEM, "no memory for the Xen transport");
	xen->base.ops = &xen_ops;
	xen->base.fd = -1;
	xen->retold = TRANSPORT_PORTS;
	xen->base.ioctls = xen_ioctls;
	xen->base.ioctl_count = sizeof(xen_ioctls) / sizeof(xen_ioctls[0]);
	xen->silent.vmessage = xen_log_nothing;
	xen->domid = domid;
	error = xen_open_grants(xen, fault);
	if (!error)
		error = xen_open_events(xen, fault);
	if (error) {
		xen_close(&xen->base);
		return error;
	}
	*transport = &xen->base;
	return 0;
}
