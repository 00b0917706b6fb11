/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sock/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/fd.h"

static struct sockaddr_in socket_to_kernel(const struct pvcalls_endpoint *endpoint)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(endpoint->port)};

	memcpy(&address.sin_addr, endpoint->addr, sizeof(address.sin_addr));
	return address;
}

static void socket_from_kernel(struct pvcalls_endpoint *endpoint, const struct sockaddr_in *address)
{
	memset(endpoint, 0, sizeof(*endpoint));
	endpoint->family = AF_INET;
	endpoint->port = ntohs(address->sin_port);
	memcpy(endpoint->addr, &address->sin_addr, sizeof(address->sin_addr));
}

static void socket_set_option(int fd, int level, int name, int value)
{
	/* These improve a socket; one without them still works. */
	(void)setsockopt(fd, level, name, &value, sizeof(value));
}

void socket_tune(struct guest_socket *guest_socket)
{
	socket_set_option(guest_socket->fd, IPPROTO_TCP, TCP_NODELAY, 1);
	socket_set_option(guest_socket->fd, SOL_SOCKET, SO_KEEPALIVE, 1);
}

static int socket_open_descriptor(struct guest_socket *guest_socket)
{
	if (guest_socket->fd >= 0)
		return 0;
	guest_socket->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return guest_socket->fd < 0 ? -errno : 0;
}

int socket_local_of(int fd, struct pvcalls_endpoint *local)
{
	struct sockaddr_in address = {0};
	socklen_t size = sizeof(address);

	if (getsockname(fd, (struct sockaddr *)&address, &size) < 0)
		return -errno;
	socket_from_kernel(local, &address);
	return 0;
}

void socket_read_local(struct guest_socket *guest_socket)
{
	(void)socket_local_of(guest_socket->fd, &guest_socket->local);
}

void socket_refuse_bind(struct guest_socket *guest_socket, int error)
{
	ASSERT(guest_socket->state == SOCKET_NEW || guest_socket->state == SOCKET_REFUSED);
	ASSERT(error < 0);
	fd_close(&guest_socket->fd);
	guest_socket->state = SOCKET_REFUSED;
	guest_socket->bind_error = error;
}

int socket_bind(struct guest_socket *guest_socket, const struct pvcalls_endpoint *address,
		bool only_connects)
{
	struct sockaddr_in kernel = socket_to_kernel(address);
	int error = socket_open_descriptor(guest_socket);

	ASSERT(guest_socket->state == SOCKET_NEW);
	if (!error) {
		/* Lets a server come back while its old connections are in TIME_WAIT; the kernel
		 * still refuses an address that another socket listens on. */
		socket_set_option(guest_socket->fd, SOL_SOCKET, SO_REUSEADDR, 1);
		if (only_connects)
			socket_set_option(guest_socket->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
		if (bind(guest_socket->fd, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
			error = -errno;
	}
	if (error) {
		socket_refuse_bind(guest_socket, error);
		return error;
	}
	guest_socket->state = SOCKET_BOUND;
	guest_socket->only_connects = only_connects;
	socket_read_local(guest_socket);
	return 0;
}

int socket_listen(struct guest_socket *guest_socket, uint32_t backlog)
{
	ASSERT(guest_socket->state == SOCKET_BOUND);
	socket_tune(guest_socket); /* what is accepted inherits it */
	if (listen(guest_socket->fd, (int)backlog) < 0)
		return -errno;
	guest_socket->state = SOCKET_LISTENING;
	return 0;
}

int socket_connect(struct guest_socket *guest_socket, const struct pvcalls_endpoint *address)
{
	struct sockaddr_in kernel = socket_to_kernel(address);
	int error = socket_open_descriptor(guest_socket);

	ASSERT(guest_socket->state == SOCKET_NEW || guest_socket->state == SOCKET_BOUND);
	if (error)
		return error;
	guest_socket->peer = *address;
	guest_socket->state = SOCKET_CONNECTING;
	if (connect(guest_socket->fd, (struct sockaddr *)&kernel, sizeof(kernel)) == 0)
		return 0;
	return -errno;
}

int socket_connect_result(struct guest_socket *guest_socket)
{
	int error = 0;
	socklen_t size = sizeof(error);

	if (getsockopt(guest_socket->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		return -errno;
	return -error;
}

void socket_disconnect(struct guest_socket *guest_socket)
{
	fd_close(&guest_socket->fd);
	/* It has no address any more, and never had this peer. */
	memset(&guest_socket->local, 0, sizeof(guest_socket->local));
	memset(&guest_socket->peer, 0, sizeof(guest_socket->peer));
	guest_socket->only_connects = false;
	guest_socket->state = SOCKET_NEW;
}

int socket_accept(struct guest_socket *guest_socket, struct pvcalls_endpoint *peer)
{
	struct sockaddr_in address = {0};
	socklen_t size = sizeof(address);
	int fd;

	ASSERT(guest_socket->state == SOCKET_LISTENING);
	fd = accept4(guest_socket->fd, (struct sockaddr *)&address, &size,
		     SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return -errno;
	socket_from_kernel(peer, &address);
	return fd;
}

bool socket_has_waiting(const struct guest_socket *guest_socket)
{
	struct pollfd poll_fd = {.fd = guest_socket->fd, .events = POLLIN};

	return poll(&poll_fd, 1, 0) == 1;
}

bool socket_is_bound_to_all(const struct guest_socket *guest_socket)
{
	static const uint8_t all[sizeof(guest_socket->local.addr)];

	return !guest_socket->local.family ||
	       memcmp(guest_socket->local.addr, all, sizeof(all)) == 0;
}

void socket_reserve(struct guest_socket *guest_socket)
{
	ASSERT(guest_socket->state == SOCKET_NEW);
	guest_socket->state = SOCKET_RESERVED;
}

void socket_give(struct guest_socket *guest_socket, int fd, const struct pvcalls_endpoint *peer)
{
	ASSERT(guest_socket->state == SOCKET_RESERVED && guest_socket->fd < 0 && fd >= 0);
	guest_socket->fd = fd;
	guest_socket->peer = *peer;
}

void socket_leave_name(struct guest_socket *guest_socket)
{
	ASSERT(guest_socket->fd < 0 && !guest_socket->connection && !guest_socket->holder);
	guest_socket->state = SOCKET_KILLED;
}

void socket_reset(int fd)
{
	struct linger none = {.l_onoff = 1, .l_linger = 0};

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	close(fd);
}
