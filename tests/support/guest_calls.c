/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "guest_calls.h"

void put_ipv4(uint8_t addr[WIRE_ADDR_BYTES], uint32_t ip, uint16_t port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(ip)};

	memset(addr, 0, WIRE_ADDR_BYTES);
	memcpy(addr, &address, sizeof(address));
}

struct wire_request call_request(uint32_t cmd, uint64_t id)
{
	struct wire_request request;

	memset(&request, 0, sizeof(request));
	request.req_id = cmd + 1;
	request.cmd = cmd;
	request.id = id;
	return request;
}

int ask(struct engine_guest *guest, const struct wire_request *request)
{
	struct wire_response response;

	guest_push(guest, request);
	engine_guest_turn(guest);
	return guest_collect(guest, &response) ? response.ret : NO_ANSWER;
}

int ask_socket(struct engine_guest *guest, uint64_t id)
{
	struct wire_request request = call_request(WIRE_SOCKET, id);

	request.u.socket.domain = AF_INET;
	request.u.socket.type = SOCK_STREAM;
	return ask(guest, &request);
}

struct wire_request connect_request(uint64_t id, uint16_t port, uint32_t ref)
{
	struct wire_request request = call_request(WIRE_CONNECT, id);

	put_ipv4(request.u.connect.addr, INADDR_LOOPBACK, port);
	request.u.connect.len = sizeof(struct sockaddr_in);
	request.u.connect.ref = ref;
	request.u.connect.evtchn = 1 + ref;
	return request;
}

int ask_connect(struct engine_guest *guest, uint64_t id, uint16_t port, uint32_t ref)
{
	struct wire_request request = connect_request(id, port, ref);

	return ask(guest, &request);
}

int ask_bind(struct engine_guest *guest, uint64_t id, uint32_t ip, uint16_t port)
{
	struct wire_request request = call_request(WIRE_BIND, id);

	put_ipv4(request.u.bind.addr, ip, port);
	request.u.bind.len = sizeof(struct sockaddr_in);
	return ask(guest, &request);
}

int ask_listen(struct engine_guest *guest, uint64_t id)
{
	struct wire_request request = call_request(WIRE_LISTEN, id);

	request.u.listen.backlog = 8;
	return ask(guest, &request);
}

int ask_accept(struct engine_guest *guest, uint64_t id, uint64_t id_new, uint32_t ref)
{
	struct wire_request request = call_request(WIRE_ACCEPT, id);

	request.u.accept.id_new = id_new;
	request.u.accept.ref = ref;
	request.u.accept.evtchn = 1 + ref;
	return ask(guest, &request);
}

int ask_poll(struct engine_guest *guest, uint64_t id)
{
	struct wire_request request = call_request(WIRE_POLL, id);

	return ask(guest, &request);
}

int ask_release(struct engine_guest *guest, uint64_t id)
{
	struct wire_request request = call_request(WIRE_RELEASE, id);

	return ask(guest, &request);
}

int host_listen(uint16_t *port)
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

int host_connect(uint16_t port, uint8_t last)
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

const struct audit_record *last_record(struct engine_guest *guest, uint32_t op)
{
	uint32_t i;

	engine_guest_store(guest);
	for (i = guest->record_count; i > 0 && i + GUEST_RECORDS > guest->record_count; i--)
		if (guest->records[(i - 1) % GUEST_RECORDS].op == op)
			return &guest->records[(i - 1) % GUEST_RECORDS];
	return NULL;
}
