/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The seam: how a guest's memory is mapped and how it is woken. Nothing above knows which of the
 * two transports (xen, local) is behind it.
 *
 * There are two ends. The supervisor's end (struct transport_host) sees devices come, change and
 * go, and reads and writes their xenstore nodes. The engine's end (struct transport) maps grants
 * and binds event channels of the one guest it serves; it is made from descriptors that the
 * supervisor's end hands over before the engine gives up its privileges.
 */
#ifndef TRANSPORT_TRANSPORT_H
#define TRANSPORT_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct transport;

/* The engine's end. Every function is called from the engine's one thread. */
struct transport_ops {
	void (*close)(struct transport *transport);
	/*
	 * Maps count (1 to DATA_REFS_MAX) grants as one span of pages, all or nothing. 0 and *span,
	 * or -EINVAL for a reference the guest does not have, or another -errno.
	 */
	int (*map)(struct transport *transport, const uint32_t *refs, uint32_t count, void **span);
	void (*unmap)(struct transport *transport, void *span, uint32_t count);
	/* Binds the guest's event channel; 0 and *port (ours, below TRANSPORT_PORTS), or -errno. */
	int (*bind)(struct transport *transport, uint32_t remote_port, uint32_t *port);
	void (*unbind)(struct transport *transport, uint32_t port);
	void (*notify)(struct transport *transport, uint32_t port);
	/*
	 * Ports with an event, at most max; each is masked until unmask(). Returns their number or
	 * -errno. Ports that are not bound are never returned.
	 */
	int (*pending)(struct transport *transport, uint32_t *ports, size_t max);
	/*
	 * Lets events of a port come again, at the latest with the next pending() or may_sleep();
	 * one that came meanwhile is pending then.
	 */
	void (*unmask)(struct transport *transport, uint32_t port);
	/*
	 * The engine is about to sleep until fd is readable. Returns false if something is pending
	 * already, so that it must not; awake() ends the sleep.
	 */
	bool (*may_sleep)(struct transport *transport);
	void (*awake)(struct transport *transport);
	/* fd was found readable. May be NULL. */
	void (*readable)(struct transport *transport);
	/* The processor on which the guest last ran; below 0: unknown. NULL: it never says. */
	int (*processor)(struct transport *transport);
};

#define TRANSPORT_PORTS 131072u /* as many as Xen's FIFO event channels have */

struct transport {
	const struct transport_ops *ops;
	int fd;                 /* readable when a port may be pending; owned by the transport */
	const uint32_t *ioctls; /* requests that its functions make: a sandbox must allow them */
	size_t ioctl_count;
};

#define TRANSPORT_DESCRIPTORS_MAX 6 /* that the supervisor's end hands over for one guest */

#endif
