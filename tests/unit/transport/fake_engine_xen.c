/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fake_engine_xen.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <xenevtchn.h>
#include <xengnttab.h>

#include <xen/sys/evtchn.h>

#define PAGE 4096u

struct fake_engine_xen fake_xen;

static int channels = -1;

/* Fails with this error if it is one. */
static bool fails(int error)
{
	errno = error;
	return error != 0;
}

/* --- libxengnttab --- */

xengnttab_handle *xengnttab_open(struct xentoollog_logger *logger, unsigned open_flags)
{
	assert(logger); /* the library's own would write to standard error */
	(void)open_flags;
	if (fails(fake_xen.no_grants))
		return NULL;
	fake_xen.handles++;
	return (xengnttab_handle *)&fake_xen;
}

int xengnttab_close(xengnttab_handle *xgt)
{
	(void)xgt;
	fake_xen.handles--;
	return 0;
}

/* All or nothing, as the real one. */
void *xengnttab_map_domain_grant_refs(xengnttab_handle *xgt, uint32_t count, uint32_t domid,
				      uint32_t *refs, int prot)
{
	uint32_t i;
	void *span;

	(void)xgt;
	fake_xen.maps++;
	fake_xen.domid = domid;
	memcpy(fake_xen.refs, refs, (count < 8 ? count : 8) * sizeof(*refs));
	if (fails(fake_xen.mapping))
		return NULL;
	for (i = 0; i < count; i++)
		if (refs[i] >= fake_xen.granted)
			return NULL; /* and errno is what fails() left: 0 */
	assert(prot == (PROT_READ | PROT_WRITE));
	span = mmap(NULL, (size_t)count * PAGE, prot, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert(span != MAP_FAILED);
	fake_xen.pages += count;
	return span;
}

int xengnttab_unmap(xengnttab_handle *xgt, void *start_address, uint32_t count)
{
	(void)xgt;
	fake_xen.pages -= count;
	return munmap(start_address, (size_t)count * PAGE);
}

/* --- libxenevtchn --- */

xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *logger, unsigned int flags)
{
	int fds[2];

	assert(logger);
	(void)flags;
	if (fails(fake_xen.no_events))
		return NULL;
	assert(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0);
	channels = fds[0];
	fake_xen.driver = fds[1];
	fake_xen.handles++;
	return (xenevtchn_handle *)&channels;
}

int xenevtchn_close(xenevtchn_handle *xce)
{
	(void)xce;
	fake_xen.handles--;
	close(fake_xen.driver);
	return close(channels);
}

ssize_t __real_read(int fd, void *bytes, size_t size);
ssize_t __wrap_read(int fd, void *bytes, size_t size);
int __wrap_ioctl(int fd, unsigned long request);

ssize_t __wrap_read(int fd, void *bytes, size_t size)
{
	if (fd == channels && fake_xen.overfull && fails(EFBIG))
		return -1;
	return __real_read(fd, bytes, size);
}

int __wrap_ioctl(int fd, unsigned long request)
{
	assert(fd == channels && request == IOCTL_EVTCHN_RESET);
	fake_xen.overfull = false;
	return 0;
}

int xenevtchn_fd(xenevtchn_handle *xce)
{
	(void)xce;
	return channels;
}

int xenevtchn_restrict(xenevtchn_handle *xce, domid_t domid)
{
	(void)xce;
	fake_xen.restricted = domid;
	return fails(fake_xen.restricting) ? -1 : 0;
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *xce, uint32_t domid,
						     evtchn_port_t remote_port)
{
	(void)xce;
	(void)remote_port;
	fake_xen.domid = domid;
	if (fails(fake_xen.binding))
		return -1;
	fake_xen.bound++;
	return (xenevtchn_port_or_error_t)fake_xen.next_port++;
}

int xenevtchn_unbind(xenevtchn_handle *xce, evtchn_port_t port)
{
	(void)xce;
	fake_xen.bound--;
	fake_xen.unbound = port;
	return 0;
}

int xenevtchn_notify(xenevtchn_handle *xce, evtchn_port_t port)
{
	(void)xce;
	fake_xen.notified = port;
	return 0;
}
