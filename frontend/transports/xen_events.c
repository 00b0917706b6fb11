/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "transports/xen_events.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/assert.h"
#include "transports/why.h"

/* The lock is the kernel's, so it ends with us whatever ends us, and leaves no file. */
static int xen_events_lock(int fd, char *why)
{
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno != EWOULDBLOCK)
		return why_set(why, errno, "/dev/xen/evtchn can't be locked: %s", strerror(errno));
	return why_set(why, EBUSY,
		       "another pvcalls-run uses this guest's PV Calls device: wait for its end, "
		       "or run both programs under one (pvcalls-run -- sh -c '...')");
}

int xen_events_open(struct xen_events *events, struct xentoollog_logger *logger, uint32_t domid,
		    char *why)
{
	*events = (struct xen_events){.domid = domid, .channels = xenevtchn_open(logger, 0)};
	if (!events->channels)
		return why_set(why, errno,
			       "/dev/xen/evtchn can't be opened: %s; modprobe xen-evtchn, and be "
			       "root",
			       strerror(errno));
	events->fd = xenevtchn_fd(events->channels);
	if (fcntl(events->fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
		return why_set(why, errno, "/dev/xen/evtchn: %s", strerror(errno));
	return xen_events_lock(events->fd, why);
}

void xen_events_close(struct xen_events *events)
{
	if (events->channels)
		xenevtchn_close(events->channels);
	events->channels = NULL;
}

int xen_events_port_open(struct xen_events *events, uint32_t *port)
{
	int bound = xenevtchn_bind_unbound_port(events->channels, events->domid);
	int error = errno;

	events->shortage = NULL;
	if (bound >= 0 && (uint32_t)bound < FRONT_PORTS) {
		*port = (uint32_t)bound;
		return 0;
	}
	if (bound >= 0) {
		xenevtchn_unbind(events->channels, (evtchn_port_t)bound);
		error = ENOSPC;
	}
	events->shortage = "no event channel is left: raise max_event_channels in the guest's "
			   "configuration, one for each connection";
	return -error;
}

void xen_events_port_close(struct xen_events *events, uint32_t port)
{
	xenevtchn_unbind(events->channels, port);
}

static uint64_t xen_events_bit(uint32_t port)
{
	return 1ull << (port % 64);
}

void xen_events_notify(struct xen_events *events, uint32_t port)
{
	ASSERT(port < FRONT_PORTS);
	/* Its mark is done, too. */
	events->is_marked[port / 64] &= ~xen_events_bit(port);
	xenevtchn_notify(events->channels, port);
}

void xen_events_mark(struct xen_events *events, uint32_t port)
{
	ASSERT(port < FRONT_PORTS);
	if (events->is_marked[port / 64] & xen_events_bit(port))
		return;
	if (events->marks == XEN_MARKS_MAX) {
		xen_events_notify(events, port);
		return;
	}
	events->is_marked[port / 64] |= xen_events_bit(port);
	events->mark[events->marks++] = port;
}

void xen_events_notify_marked(struct xen_events *events)
{
	uint32_t i;

	for (i = 0; i < events->marks; i++)
		if (events->is_marked[events->mark[i] / 64] & xen_events_bit(events->mark[i]))
			xen_events_notify(events, events->mark[i]);
	events->marks = 0;
}

/* Lets events of the ports come again that take() gave out; one that came meanwhile is there. */
static void xen_events_unmask(struct xen_events *events)
{
	if (events->masked == 0)
		return;
	/* The driver takes all or nothing, and nothing only without memory for a page. */
	while (write(events->fd, events->mask, events->masked * sizeof(events->mask[0])) < 0 &&
	       (errno == EINTR || errno == ENOMEM))
		;
	events->masked = 0;
}

size_t xen_events_take(struct xen_events *events, uint32_t *ports, size_t max)
{
	size_t room = max < XEN_EVENTS_AT_ONCE ? max : XEN_EVENTS_AT_ONCE;
	size_t count = 0;
	ssize_t size;
	size_t i;

	xen_events_unmask(events);
	size = read(events->fd, events->mask, room * sizeof(events->mask[0]));
	events->masked = size < 0 ? 0 : (uint32_t)((size_t)size / sizeof(events->mask[0]));
	events->more = events->masked == room;
	for (i = 0; i < events->masked; i++)
		if (events->mask[i] < FRONT_PORTS)
			ports[count++] = events->mask[i];
	return count;
}

bool xen_events_pending(const struct xen_events *events)
{
	return events->more || events->masked > 0;
}

bool xen_events_may_sleep(struct xen_events *events)
{
	xen_events_unmask(events);
	return !events->more;
}
