/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The supervisor's end of the local transport: guests are processes that connect to
 * RUNTIME_DIR/local.sock.
 *
 * Each connection is a guest with one device. Its frontend directory is what the guest sent as
 * NODES, its backend directory what we send. A guest that sends more than the protocol needs is
 * bounded: one message is read per event, only known numbers are kept, and a queue that it does not
 * read makes us drop it.
 */
#include "transport/local_host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/fd.h"
#include "ring/layout.h"
#include "transport/local_wire.h"

#define LOCAL_BACKLOG     64
#define LOCAL_GUESTS_MAX  512            /* connections at once, with those that said nothing yet */
#define LOCAL_HELLO_NS    (5 * NS_PER_S) /* a connection without HELLO for so long is closed */
#define LOCAL_DOMID_FIRST 0x8000u /* beyond Xen's own numbers (DOMID_FIRST_RESERVED is 0x7ff0) */
#define LOCAL_SEALS       (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

enum local_descriptor { MEMORY, EVENTS, OUR_EVENTFD, GUEST_EVENTFD, DESCRIPTORS };

struct local_host {
	struct transport_host base;
	struct loop *loop;
	const struct device_events *events;
	struct loop_source listener;
	int listen_fd;
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	uint32_t next_domid;
	struct local_guest *guests;
	uint32_t guest_count;
};

struct local_guest {
	struct device device;
	struct local_guest *next;
	struct loop_source source;
	struct loop_timer farewell; /* removes it: no HELLO in time, or dropped by the supervisor */
	int fd;
	int descriptors[DESCRIPTORS];
	bool announced; /* added() was called */
	struct device_node nodes[DEVICE_NODES_MAX];
	size_t node_count;
};

static struct local_host *local_host_of(struct device *device)
{
	return (struct local_host *)device->host;
}

static struct local_guest *local_guest_of(struct device *device)
{
	return (struct local_guest *)device;
}

/*
 * Ends the connection. What the guest has sent is read first: a socket that is closed with
 * something unread resets its peer (unix_release_sock()), which then gets ECONNRESET instead of our
 * last message, that says why. After shutdown() it sends no more.
 */
static void local_guest_hang_up(struct local_guest *guest)
{
	char byte;

	shutdown(guest->fd, SHUT_RDWR);
	while (recv(guest->fd, &byte, sizeof(byte), MSG_DONTWAIT) > 0)
		;
	fd_close(&guest->fd);
}

static void local_guest_forget(struct local_guest *guest)
{
	struct local_host *host = local_host_of(&guest->device);
	struct local_guest **link = &host->guests;
	size_t i;

	for (; *link != guest; link = &(*link)->next)
		ASSERT(*link);
	ASSERT(host->guest_count > 0);
	*link = guest->next;
	host->guest_count--;
	loop_remove(host->loop, &guest->source);
	loop_disarm(host->loop, &guest->farewell);
	local_guest_hang_up(guest);
	for (i = 0; i < DESCRIPTORS; i++)
		fd_close(&guest->descriptors[i]);
	free(guest);
}

/* The guest is gone: tells the supervisor, then frees it. */
static void local_guest_remove(struct local_guest *guest)
{
	struct local_host *host = local_host_of(&guest->device);

	if (guest->announced)
		host->events->removed(host->events->context, &guest->device);
	local_guest_forget(guest);
}

static void local_guest_send(struct local_guest *guest, enum local_kind kind, uint32_t value,
			     const char *text, const int *fds, size_t count)
{
	struct local_message message = {.kind = kind, .value = value};
	size_t length;

	snprintf(message.text, sizeof(message.text), "%s", text);
	length = offsetof(struct local_message, text) + strlen(message.text) + 1;
	/* Only a guest that does not read can fail this, and it only loses its own messages. */
	(void)fd_send(guest->fd, &message, length, fds, count);
}

static void local_guest_refuse(struct local_guest *guest, int error, const char *why)
{
	local_guest_send(guest, LOCAL_REFUSED, (uint32_t)-error, why, NULL, 0);
	local_guest_remove(guest);
}

/*
 * What makes the memory safe to map: tmpfs (a huge page could be missing and fault), sealed so that
 * it keeps its size, writable.
 */
static int local_guest_check_memory(int fd, struct fault *fault)
{
	struct statfs system;
	struct stat status;
	int seals = fcntl(fd, F_GET_SEALS);

	if (fstat(fd, &status) < 0 || fstatfs(fd, &system) < 0)
		return fault_set(fault, errno, "the guest's memory can't be examined: %s",
				 strerror(errno));
	if (system.f_type != TMPFS_MAGIC || seals < 0)
		return fault_set(fault, EINVAL,
				 "the guest's memory is no memfd of ordinary pages: use "
				 "memfd_create() with MFD_ALLOW_SEALING");
	if ((seals & LOCAL_SEALS) != LOCAL_SEALS || seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
		return fault_set(
			fault, EINVAL,
			"the guest's memory must be sealed with F_SEAL_SHRINK, F_SEAL_GROW "
			"and F_SEAL_SEAL, and nothing else");
	if (status.st_size < (off_t)LOCAL_MEMORY_MIN || status.st_size > (off_t)LOCAL_MEMORY_MAX ||
	    status.st_size % RING_PAGE_SIZE)
		return fault_set(fault, EINVAL,
				 "the guest's memory has %lld bytes: whole pages between %llu and "
				 "%llu bytes are allowed",
				 (long long)status.st_size, LOCAL_MEMORY_MIN, LOCAL_MEMORY_MAX);
	return 0;
}

static int local_guest_make_events(struct local_guest *guest)
{
	int *fds = guest->descriptors;

	fds[EVENTS] = memfd_create("pvcalls-events", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fds[EVENTS] < 0 || ftruncate(fds[EVENTS], sizeof(struct local_event_page)) < 0 ||
	    fcntl(fds[EVENTS], F_ADD_SEALS, LOCAL_SEALS) < 0)
		return -errno;
	fds[OUR_EVENTFD] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fds[GUEST_EVENTFD] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return fds[OUR_EVENTFD] < 0 || fds[GUEST_EVENTFD] < 0 ? -errno : 0;
}

/* Checks the guest's first message; fills *fault and returns -errno if it is not welcome. */
static int local_guest_check_hello(struct local_guest *guest, const struct local_message *message,
				   struct fault *fault)
{
	struct local_host *host = local_host_of(&guest->device);
	struct pvcalls_guest *identity = &guest->device.guest;
	int error;

	if (message->kind != LOCAL_HELLO || message->value != LOCAL_VERSION)
		return fault_set(fault, EPROTO,
				 "the guest speaks another version of the local transport: this "
				 "daemon speaks version %u",
				 LOCAL_VERSION);
	if (guest->descriptors[MEMORY] < 0)
		return fault_set(fault, EPROTO, "the guest's first message brought no memory");
	if (strlen(message->text) >= sizeof(identity->name))
		return fault_set(fault, ENAMETOOLONG, "the guest's name is longer than %zu bytes",
				 sizeof(identity->name) - 1);
	if (!host->events->may_attach(host->events->context, guest->device.uid, message->text,
				      fault))
		return -EPERM;
	error = local_guest_check_memory(guest->descriptors[MEMORY], fault);
	if (error)
		return error;
	error = local_guest_make_events(guest);
	if (error)
		return fault_set(fault, -error, "no event page for the guest: %s",
				 strerror(-error));
	memcpy(identity->name, message->text, strlen(message->text) + 1);
	return 0;
}

static void local_guest_welcome(struct local_guest *guest, const struct local_message *message)
{
	struct local_host *host = local_host_of(&guest->device);
	struct fault fault = {.text = ""};
	int error = local_guest_check_hello(guest, message, &fault);

	if (error) {
		local_guest_refuse(guest, error, fault.text);
		return;
	}
	local_guest_send(guest, LOCAL_WELCOME, guest->device.guest.domid, "",
			 &guest->descriptors[EVENTS], DESCRIPTORS - EVENTS);
	guest->device.frontend = XENBUS_INITIALISING;
	guest->device.backend = XENBUS_INITIALISING;
	guest->device.online = true;
	guest->announced = true;
	loop_disarm(host->loop, &guest->farewell);
	host->events->added(host->events->context, &guest->device);
}

static void local_guest_keep_node(struct local_guest *guest, const char *key, const char *value)
{
	struct device_node *node = guest->nodes;
	struct device_node *end = guest->nodes + guest->node_count;

	while (node < end && strcmp(node->key, key) != 0)
		node++;
	if (node == end && guest->node_count == DEVICE_NODES_MAX)
		return;
	if (node == end)
		guest->node_count++;
	snprintf(node->key, sizeof(node->key), "%s", key);
	snprintf(node->value, sizeof(node->value), "%s", value);
}

static enum xenbus_state local_guest_parse_state(const char *value)
{
	if (value[0] < '0' || value[0] > '8' || value[1] != '\0')
		return XENBUS_UNKNOWN;
	return (enum xenbus_state)(value[0] - '0');
}

static void local_guest_take_nodes(struct local_guest *guest, char *text)
{
	struct local_host *host = local_host_of(&guest->device);
	bool state_written = false;
	char *rest = NULL;
	char *line;

	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		char *value = strchr(line, '=');

		if (!value || value - line >= DEVICE_KEY_MAX ||
		    strlen(value + 1) >= DEVICE_VALUE_MAX)
			continue;
		*value++ = '\0';
		if (strcmp(line, "state") == 0) {
			guest->device.frontend = local_guest_parse_state(value);
			state_written = true;
		} else {
			local_guest_keep_node(guest, line, value);
		}
	}
	if (state_written)
		host->events->changed(host->events->context, &guest->device);
}

static void local_guest_close_fds(int *fds, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		fd_close(&fds[i]);
}

static void local_guest_readable(struct loop_source *source, uint32_t events)
{
	struct local_guest *guest = source->owner;
	struct local_message message;
	int fds[FDS_PER_MESSAGE];
	size_t count;
	ssize_t size = fd_receive(guest->fd, &message, sizeof(message), fds, &count);

	(void)events;
	if (size == -EAGAIN)
		return;
	if (size < (ssize_t)offsetof(struct local_message, text) + 1) {
		local_guest_close_fds(fds, count);
		local_guest_remove(guest);
		return;
	}
	message.text[(size_t)size - offsetof(struct local_message, text) - 1] = '\0';
	if (!guest->announced) {
		guest->descriptors[MEMORY] = fds[0];
		fds[0] = -1;
		local_guest_close_fds(fds, count);
		local_guest_welcome(guest, &message);
		return;
	}
	local_guest_close_fds(fds, count);
	if (message.kind == LOCAL_NODES)
		local_guest_take_nodes(guest, message.text);
}

static void local_guest_farewell(struct loop_timer *timer)
{
	local_guest_remove(timer->owner);
}

/* A connection that has said nothing yet; takes fd. NULL if it can't be kept. */
static struct local_guest *local_guest_create(struct local_host *host, int fd, uint32_t uid)
{
	struct local_guest *guest = calloc(1, sizeof(*guest));

	if (!guest) {
		close(fd);
		return NULL;
	}
	guest->fd = fd;
	memset(guest->descriptors, -1, sizeof(guest->descriptors));
	guest->device.host = &host->base;
	guest->device.uid = uid;
	guest->device.guest.size = sizeof(guest->device.guest);
	guest->device.guest.domid = host->next_domid++;
	guest->next = host->guests;
	host->guests = guest;
	host->guest_count++;
	return guest;
}

static void local_host_accept(struct loop_source *source, uint32_t events)
{
	struct local_host *host = source->owner;
	int fd = accept4(host->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct local_guest *guest;
	struct ucred peer;
	socklen_t size = sizeof(peer);

	(void)events;
	if (fd < 0)
		return;
	if (host->guest_count == LOCAL_GUESTS_MAX ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) {
		close(fd);
		return;
	}
	guest = local_guest_create(host, fd, peer.uid);
	if (!guest)
		return;
	if (loop_add(host->loop, &guest->source, fd, EPOLLIN, local_guest_readable, guest) < 0 ||
	    loop_arm(host->loop, &guest->farewell, clock_monotonic_ns() + LOCAL_HELLO_NS,
		     local_guest_farewell, guest) < 0)
		local_guest_forget(guest);
}

static int local_host_read(struct device *device, const char *key, char value[DEVICE_VALUE_MAX])
{
	struct local_guest *guest = local_guest_of(device);
	size_t i;

	for (i = 0; i < guest->node_count; i++) {
		if (strcmp(guest->nodes[i].key, key) != 0)
			continue;
		memcpy(value, guest->nodes[i].value, DEVICE_VALUE_MAX);
		return 0;
	}
	return -ENOENT;
}

static int local_host_write(struct device *device, const struct device_node *nodes, size_t count)
{
	char text[LOCAL_TEXT_MAX];
	size_t used = 0;
	size_t i;

	ASSERT(local_guest_of(device)->announced);
	for (i = 0; i < count && used < sizeof(text); i++) {
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s=%s\n", nodes[i].key,
					 nodes[i].value);
		if (strcmp(nodes[i].key, "state") == 0)
			device->backend = local_guest_parse_state(nodes[i].value);
	}
	if (used >= sizeof(text))
		return -E2BIG;
	local_guest_send(local_guest_of(device), LOCAL_NODES, 0, text, NULL, 0);
	return 0;
}

static size_t local_host_descriptors(struct device *device, int *fds)
{
	memcpy(fds, local_guest_of(device)->descriptors,
	       sizeof(local_guest_of(device)->descriptors));
	return DESCRIPTORS;
}

static void local_host_drop(struct device *device, const char *why)
{
	struct local_guest *guest = local_guest_of(device);
	struct local_host *host = local_host_of(device);

	local_guest_send(guest, LOCAL_REFUSED, ECONNABORTED, why, NULL, 0);
	loop_remove(host->loop, &guest->source);
	shutdown(guest->fd, SHUT_RDWR);
	if (loop_arm(host->loop, &guest->farewell, 0, local_guest_farewell, guest) < 0)
		return; /* no memory for a timer: the closed connection stays until we stop */
}

static void local_host_stop(struct transport_host *base)
{
	struct local_host *host = (struct local_host *)base;

	while (host->guests)
		local_guest_forget(host->guests);
	loop_remove(host->loop, &host->listener);
	fd_close(&host->listen_fd);
	unlink(host->path);
	free(host);
}

static const struct transport_host_ops local_host_ops = {
	.stop = local_host_stop,
	.read = local_host_read,
	.write = local_host_write,
	.descriptors = local_host_descriptors,
	.drop = local_host_drop,
};

static int local_host_bind(struct local_host *host, const char *runtime_dir, struct fault *fault)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int length =
		snprintf(host->path, sizeof(host->path), "%s/%s", runtime_dir, LOCAL_SOCKET_NAME);

	if (length < 0 || (size_t)length >= sizeof(host->path))
		return fault_set(
			fault, ENAMETOOLONG,
			"%s/" LOCAL_SOCKET_NAME
			" is too long for a socket (%zu bytes): use a shorter --runtime-dir",
			runtime_dir, sizeof(host->path) - 1);
	memcpy(address.sun_path, host->path, sizeof(address.sun_path));
	/* The daemon holds the directory's lock, so a socket that is there is a dead one's. */
	unlink(host->path);
	host->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (host->listen_fd < 0 ||
	    bind(host->listen_fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    chmod(host->path, 0666) < 0 || listen(host->listen_fd, LOCAL_BACKLOG) < 0)
		return fault_set(fault, errno, "%s can't be made: %s", host->path, strerror(errno));
	return 0;
}

int local_host_listen(struct transport_host **transport, const char *runtime_dir, struct loop *loop,
		      const struct device_events *events, struct fault *fault)
{
	struct local_host *host = calloc(1, sizeof(*host));
	int error;

	if (!host)
		return fault_set(fault, ENOMEM, "no memory for the local transport");
	host->base.ops = &local_host_ops;
	host->loop = loop;
	host->events = events;
	host->next_domid = LOCAL_DOMID_FIRST;
	error = local_host_bind(host, runtime_dir, fault);
	if (!error) {
		error = loop_add(loop, &host->listener, host->listen_fd, EPOLLIN, local_host_accept,
				 host);
		if (error)
			fault_set(fault, -error, "%s can't be watched: %s", host->path,
				  strerror(-error));
	}
	if (error) {
		fd_close(&host->listen_fd);
		free(host);
		return error;
	}
	*transport = &host->base;
	return 0;
}
