/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The supervisor's end of the Xen transport: the devices below backend/pvcalls.
 *
 * A device that we dropped is not looked at again until the toolstack takes it away (or its guest
 * ends): what remains of it is told "closed" when the toolstack asks for that.
 */
#include "transport/xen_host.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/fd.h"
#include "transport/xen_store.h"

#define KERNEL_BACKEND "/sys/bus/xen-backend/drivers/pvcalls"

struct xen_host {
	struct transport_host base;
	struct loop *loop;
	const struct device_events *events;
	struct xen_store *store;
	struct loop_source source;
	int lock;
	bool unreachable; /* as last told */
	struct xen_device *devices;
};

struct xen_device {
	struct device device;
	struct xen_device *next;
	struct xen_device_id id;
	struct loop_timer farewell; /* dropped by the supervisor: removed() is due */
	bool announced;             /* added() was called, removed() was not */
	struct device_node nodes[DEVICE_NODES_MAX];
	size_t node_count;
};

static struct xen_host *xen_host_of(struct device *device)
{
	return (struct xen_host *)device->host;
}

static struct xen_device *xen_device_of(struct device *device)
{
	return (struct xen_device *)device;
}

static struct xen_device *xen_host_find(const struct xen_host *host, struct xen_device_id id)
{
	struct xen_device *device;

	for (device = host->devices; device; device = device->next)
		if (device->id.domid == id.domid && device->id.devid == id.devid)
			break;
	return device;
}

/* The supervisor hears no more of it. */
static void xen_device_retire(struct xen_device *device)
{
	struct xen_host *host = xen_host_of(&device->device);

	loop_disarm(host->loop, &device->farewell);
	if (device->announced)
		host->events->removed(host->events->context, &device->device);
	device->announced = false;
}

static void xen_device_forget(struct xen_device *device)
{
	struct xen_host *host = xen_host_of(&device->device);
	struct xen_device **link = &host->devices;

	for (; *link != device; link = &(*link)->next)
		ASSERT(*link);
	*link = device->next;
	loop_disarm(host->loop, &device->farewell);
	free(device);
}

/* Names go into logs, the trail and JSON: one that is not plain ASCII is replaced. */
static void xen_device_name_guest(struct pvcalls_guest *guest)
{
	const char *c = guest->name;

	while (*c >= ' ' && *c <= '~')
		c++;
	if (*c || c == guest->name)
		snprintf(guest->name, sizeof(guest->name), "domain-%u", guest->domid);
}

static void xen_device_take_nodes(struct xen_device *device, const struct xen_snapshot *snapshot)
{
	/* An earlier ring's nodes are of no use once the frontend has left it. */
	memcpy(device->nodes, snapshot->nodes, sizeof(device->nodes));
	device->node_count = snapshot->node_count;
	device->device.frontend = snapshot->frontend;
	device->device.online = snapshot->online;
}

static void xen_host_add(struct xen_host *host, const struct xen_snapshot *snapshot)
{
	struct xen_device *device = calloc(1, sizeof(*device));

	if (!device)
		return; /* the guest waits for a backend, as if there were none */
	device->id = snapshot->id;
	device->device.host = &host->base;
	device->device.guest = snapshot->guest;
	xen_device_name_guest(&device->device.guest);
	device->device.backend = snapshot->backend;
	device->device.lasting = true;
	ASSERT(snapshot->present);
	xen_device_take_nodes(device, snapshot);
	device->next = host->devices;
	host->devices = device;
	device->announced = true;
	host->events->added(host->events->context, &device->device);
}

/* What is left of a dropped device answers the toolstack only. */
static void xen_device_answer_toolstack(struct xen_device *device)
{
	static const struct device_node closed = {"state", "6"};

	(void)xen_store_write(xen_host_of(&device->device)->store, device->id, &closed, 1);
}

static void xen_device_update(struct xen_device *device, const struct xen_snapshot *snapshot)
{
	struct xen_host *host = xen_host_of(&device->device);

	xen_device_take_nodes(device, snapshot);
	if (device->announced)
		host->events->changed(host->events->context, &device->device);
	else if (!snapshot->online && snapshot->backend != XENBUS_CLOSED)
		xen_device_answer_toolstack(device);
}

static void xen_host_take(struct xen_host *host, const struct xen_snapshot *snapshot)
{
	struct xen_device *device = xen_host_find(host, snapshot->id);

	if (device && (!snapshot->present || snapshot->renewed)) {
		xen_device_retire(device);
		xen_device_forget(device);
		device = NULL;
	}
	if (!snapshot->present)
		return;
	if (device)
		xen_device_update(device, snapshot);
	else
		xen_host_add(host, snapshot);
}

static void xen_host_tell_trouble(struct xen_host *host)
{
	bool unreachable = !xen_store_reachable(host->store);

	if (unreachable == host->unreachable)
		return;
	host->unreachable = unreachable;
	host->events->trouble(host->events->context,
			      unreachable
				      ? "xenstored does not answer: guests are served, but none "
					"can come or go until it is back"
				      : NULL);
}

static void xen_host_store_ready(struct loop_source *source, uint32_t events)
{
	struct xen_host *host = source->owner;
	struct xen_snapshot snapshot;

	(void)events;
	while (xen_store_take(host->store, &snapshot))
		xen_host_take(host, &snapshot);
	xen_host_tell_trouble(host);
}

static int xen_host_read(struct device *device, const char *key, char value[DEVICE_VALUE_MAX])
{
	const struct xen_device *xen = xen_device_of(device);
	size_t i;

	for (i = 0; i < xen->node_count; i++) {
		if (strcmp(xen->nodes[i].key, key) != 0)
			continue;
		memcpy(value, xen->nodes[i].value, DEVICE_VALUE_MAX);
		return 0;
	}
	return -ENOENT;
}

static int xen_host_write(struct device *device, const struct device_node *nodes, size_t count)
{
	return xen_store_write(xen_host_of(device)->store, xen_device_of(device)->id, nodes, count);
}

static size_t xen_host_descriptors(struct device *device, int *fds)
{
	/* The engine opens what it needs: mappings belong to the process that makes them. */
	(void)device;
	(void)fds;
	return 0;
}

static void xen_device_farewell(struct loop_timer *timer)
{
	xen_device_retire(timer->owner);
}

static void xen_host_drop(struct device *device, const char *why)
{
	struct xen_device *xen = xen_device_of(device);

	/* A guest of Xen has no place to read it; the log and the trail have it. */
	(void)why;
	if (!device->online)
		xen_device_answer_toolstack(xen);
	if (loop_arm(xen_host_of(device)->loop, &xen->farewell, 0, xen_device_farewell, xen) < 0)
		return; /* no memory for a timer: it stays, dropped, until its guest ends */
}

static void xen_host_stop(struct transport_host *base)
{
	struct xen_host *host = (struct xen_host *)base;
	struct xen_device *device;
	struct xen_device *next;

	for (device = host->devices; device; device = next) {
		next = device->next;
		loop_disarm(host->loop, &device->farewell);
		free(device);
	}
	loop_remove(host->loop, &host->source);
	xen_store_close(host->store);
	fd_close(&host->lock);
	free(host);
}

static const struct transport_host_ops xen_host_ops = {
	.stop = xen_host_stop,
	.read = xen_host_read,
	.write = xen_host_write,
	.descriptors = xen_host_descriptors,
	.drop = xen_host_drop,
};

/* Two backends would both answer for every guest. An abstract name vanishes with its process. */
static int xen_host_lock(struct xen_host *host, struct fault *fault)
{
	static const char name[] = "\0pvcallsd-xen";
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (access(KERNEL_BACKEND, F_OK) == 0)
		return fault_set(fault, EBUSY,
				 "the kernel's own PV Calls backend is active (" KERNEL_BACKEND
				 "): remove it with 'modprobe -r pvcalls-back'; if it is built in, "
				 "boot a kernel without CONFIG_XEN_PVCALLS_BACKEND");
	memcpy(address.sun_path, name, sizeof(name) - 1);
	host->lock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (host->lock < 0 ||
	    bind(host->lock, (struct sockaddr *)&address,
		 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + sizeof(name) - 1)) < 0)
		return errno == EADDRINUSE
			       ? fault_set(
					 fault, EBUSY,
					 "another pvcallsd serves the guests of this Xen host: stop "
					 "it first")
			       : fault_set(fault, errno,
					   "the lock of the Xen transport can't be taken: %s",
					   strerror(errno));
	return 0;
}

int xen_host_listen(struct transport_host **transport, struct loop *loop,
		    const struct device_events *events, struct fault *fault)
{
	struct xen_host *host = calloc(1, sizeof(*host));
	int error;

	if (!host)
		return fault_set(fault, ENOMEM, "no memory for the Xen transport");
	host->base.ops = &xen_host_ops;
	host->loop = loop;
	host->events = events;
	host->lock = -1;
	error = xen_host_lock(host, fault);
	if (!error)
		error = xen_store_open(&host->store, fault);
	if (!error) {
		error = loop_add(loop, &host->source, xen_store_fd(host->store), EPOLLIN,
				 xen_host_store_ready, host);
		if (error) {
			fault_set(fault, -error, "xenstore's events can't be watched: %s",
				  strerror(-error));
			xen_store_close(host->store);
		}
	}
	if (error) {
		fd_close(&host->lock);
		free(host);
		return error;
	}
	*transport = &host->base;
	return 0;
}
