/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest's calls as tests write them: one line each. Header only, for unit tests of the engine.
 */
#ifndef GUEST_CALLS_H
#define GUEST_CALLS_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine_guest.h"

#define NO_ANSWER 12345 /* what ask() returns when the engine did not answer */

/* A policy that allows everything on loopback. */
#define OPEN_POLICY                                                      \
	"version: 1\nname: open\nmatch: {name: guest}\ndefault: allow\n" \
	"floor: {allow: [{on: [connect, bind], to: {net: [127.0.0.0/8]}}]}\n"

static inline void put_ipv4(uint8_t addr[WIRE_ADDR_BYTES], uint32_t ip, uint16_t port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(ip)};

	memset(addr, 0, WIRE_ADDR_BYTES);
	memcpy(addr, &address, sizeof(address));
}

static inline struct wire_request call_request(uint32_t cmd, uint64_t id)
{
	struct wire_request request;

	memset(&request, 0, sizeof(request));
	request.req_id = cmd + 1;
	request.cmd = cmd;
	request.id = id;
	return request;
}

/* Pushes a request, lets the engine work, and returns the result of the next response. */
static inline int ask(struct engine_guest *guest, const struct wire_request *request)
{
	struct wire_response response;

	guest_push(guest, request);
	engine_guest_turn(guest);
	return guest_collect(guest, &response) ? response.ret : NO_ANSWER;
}

static inline int ask_socket(struct engine_guest *guest, uint64_t id)
{
	struct wire_request request = call_request(WIRE_SOCKET, id);

	request.u.socket.domain = AF_INET;
	request.u.socket.type = SOCK_STREAM;
	return ask(guest, &request);
}

static inline struct wire_request connect_request(uint64_t id, uint16_t port, uint32_t ref)
{
	struct wire_request request = call_request(WIRE_CONNECT, id);

	put_ipv4(request.u.connect.addr, INADDR_LOOPBACK, port);
	request.u.connect.len = sizeof(struct sockaddr_in);
	request.u.connect.ref = ref;
	request.u.connect.evtchn = 1 + ref;
	return request;
}

static inline int ask_connect(struct engine_guest *guest, uint64_t id, uint16_t port, uint32_t ref)
{
	struct wire_request request = connect_request(id, port, ref);

	return ask(guest, &request);
}

static inline int ask_bind(struct engine_guest *guest, uint64_t id, uint32_t ip, uint16_t port)
{
	struct wire_request request = call_request(WIRE_BIND, id);

	put_ipv4(request.u.bind.addr, ip, port);
	request.u.bind.len = sizeof(struct sockaddr_in);
	return ask(guest, &request);
}

static inline int ask_listen(struct engine_guest *guest, uint64_t id)
{
	struct wire_request request = call_request(WIRE_LISTEN, id);

	request.u.listen.backlog = 8;
	return ask(guest, &request);
}

static inline int ask_accept(struct engine_guest *guest, uint64_t id, uint64_t id_new, uint32_t ref)
{
	struct wire_request request = call_request(WIRE_ACCEPT, id);

	request.u.accept.id_new = id_new;
	request.u.accept.ref = ref;
	request.u.accept.evtchn = 1 + ref;
	return ask(guest, &request);
}

static inline int ask_poll(struct engine_guest *guest, uint64_t id)
{
	struct wire_request request = call_request(WIRE_POLL, id);

	return ask(guest, &request);
}

static inline int ask_release(struct engine_guest *guest, uint64_t id)
{
	struct wire_request request = call_request(WIRE_RELEASE, id);

	return ask(guest, &request);
}

/* A listening socket of the host on loopback, and its port. */
static inline int host_listen(uint16_t *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*port = 0;
	if (bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 64) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &size) < 0)
		return -1;
	*port = ntohs(address.sin_port);
	return fd;
}

/* A connection of the host to a port on loopback, from 127.0.0.last. */
static inline int host_connect(uint16_t port, uint8_t last)
{
	struct sockaddr_in from = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(0x7f000000u | last)};
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0 ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* The last record of an operation that was stored, or NULL. */
static inline const struct audit_record *last_record(struct engine_guest *guest, uint32_t op)
{
	uint32_t i;

	engine_guest_store(guest);
	for (i = guest->record_count; i > 0 && i + GUEST_RECORDS > guest->record_count; i--)
		if (guest->records[(i - 1) % GUEST_RECORDS].op == op)
			return &guest->records[(i - 1) % GUEST_RECORDS];
	return NULL;
}

#endif
