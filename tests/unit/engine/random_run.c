/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "random_run.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/clock.h"
#include "engine/calls/close_socket.h"

#define RING(n) (8u + (n))      /* indexes page of ring n */
#define DATA(n) (24u + 2 * (n)) /* its data pages, order 1 */
#define NO_CALL UINT32_MAX

/* splitmix64, as in the plugin. */
static uint64_t random_draw(struct random_run *run)
{
	uint64_t value = run->state += 0x9e3779b97f4a7c15u;

	value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
	value = (value ^ value >> 27) * 0x94d049bb133111ebu;
	return value ^ value >> 31;
}

uint32_t random_below(struct random_run *run, uint32_t limit)
{
	return (uint32_t)(random_draw(run) % limit);
}

static void random_ring_free(struct random_run *run, uint32_t ring)
{
	run->rings[ring].use = RING_FREE;
}

/* The socket of this name is gone, and with it the guest's claim to its pages. */
static void random_rings_of_gone(struct random_run *run, uint64_t id)
{
	uint32_t i;

	for (i = 0; i < RANDOM_RINGS; i++)
		if (run->rings[i].use == RING_OPEN && run->rings[i].id == id)
			random_ring_free(run, i);
}

static void random_take_response(struct random_run *run, const struct wire_response *response)
{
	const struct asked *asked = call_ledger_answer(&run->ledger, response);

	if (asked->cmd == WIRE_RELEASE && !response->ret)
		random_rings_of_gone(run, asked->id);
	if (asked->ring && response->ret)
		random_ring_free(run, asked->ring - 1);
	else if (asked->ring)
		run->rings[asked->ring - 1].use = RING_OPEN;
}

void random_store(struct random_run *run)
{
	struct audit_record record;

	if (run->stalled)
		return;
	while (drain_take(run->guest->drain, &record))
		if (record.serial)
			call_ledger_record(&run->ledger, &record);
	ASSERT(!drain_damage(run->guest->drain));
	drain_committed(run->guest->drain);
}

void random_turn(struct random_run *run)
{
	struct wire_response response;

	engine_guest_turn(run->guest);
	call_ledger_look(&run->ledger);
	while (guest_collect(run->guest, &response))
		random_take_response(run, &response);
	random_store(run);
}

void random_push(struct random_run *run, struct wire_request *request, uint32_t ring)
{
	call_ledger_ask(&run->ledger, request, ring);
	run->calls++;
	guest_push(run->guest, request);
}

/* A ring that no connection has, made anew, as 1 + its number; 0: there is none. */
static uint32_t random_new_ring(struct random_run *run)
{
	uint32_t first = random_below(run, RANDOM_RINGS);
	uint32_t i;

	for (i = 0; i < RANDOM_RINGS; i++) {
		uint32_t ring = (first + i) % RANDOM_RINGS;

		if (run->rings[ring].use != RING_FREE)
			continue;
		guest_make_ring(run->guest, RING(ring), 1, DATA(ring));
		run->rings[ring].use = RING_ASKED;
		return 1 + ring;
	}
	return 0;
}

/* Where a CONNECT or BIND goes: to someone, to nobody, to where it may not. */
static void random_address(struct random_run *run, uint8_t addr[WIRE_ADDR_BYTES])
{
	const struct guest_socket *socket = socket_table_find(run->guest->engine->calls.sockets,
							      random_below(run, RANDOM_NAMES));
	uint16_t port = run->port;

	switch (random_below(run, 8)) {
	case 0:
		port = run->busy_port;
		break;
	case 1:
		port = (uint16_t)(1 + random_below(run, 3)); /* nobody */
		break;
	case 2:
		port = 0;
		break;
	case 3:
		if (socket && socket->local.port)
			port = socket->local.port;
		break;
	}
	put_ipv4(addr, random_below(run, 20) ? INADDR_LOOPBACK : 0xe0000001, port);
}

/* For a new socket; now and then one that is taken. */
static uint64_t random_new_name(struct random_run *run)
{
	uint64_t name = random_below(run, RANDOM_NAMES);
	uint64_t i;

	for (i = 0; i < RANDOM_NAMES && random_below(run, 20);
	     i++, name = (name + 1) % RANDOM_NAMES)
		if (!socket_table_find(run->guest->engine->calls.sockets, name))
			break;
	return name;
}

static void random_request(struct random_run *run, uint32_t cmd, uint64_t id)
{
	struct wire_request request = call_request(cmd, id);
	uint32_t ring = cmd == WIRE_CONNECT || cmd == WIRE_ACCEPT ? random_new_ring(run) : 0;
	/* Pages or an event channel that are not the guest's or in use. */
	uint32_t ref = ring && random_below(run, 20) ? RING(ring - 1) : GUEST_PAGES + 1;
	uint32_t evtchn = random_below(run, 20) ? 1 + ref : GUEST_COMMAND_PORT;

	switch (cmd) {
	case WIRE_SOCKET:
		request.u.socket.domain = random_below(run, 30) ? AF_INET : AF_INET6;
		request.u.socket.type = SOCK_STREAM;
		break;
	case WIRE_CONNECT:
		random_address(run, request.u.connect.addr);
		request.u.connect.len = random_below(run, 30) ? sizeof(struct sockaddr_in) : 3;
		request.u.connect.ref = ref;
		request.u.connect.evtchn = evtchn;
		break;
	case WIRE_BIND:
		put_ipv4(request.u.bind.addr, INADDR_LOOPBACK, 0);
		if (!random_below(run, 4))
			random_address(run, request.u.bind.addr);
		request.u.bind.len = sizeof(struct sockaddr_in);
		break;
	case WIRE_LISTEN:
		request.u.listen.backlog = random_below(run, 8);
		break;
	case WIRE_ACCEPT:
		request.u.accept.id_new = random_new_name(run);
		request.u.accept.ref = ref;
		request.u.accept.evtchn = evtchn;
		break;
	case WIRE_RELEASE:
		request.u.release.reuse = (uint8_t)random_below(run, 2);
		break;
	}
	random_push(run, &request, ring);
	if (cmd == WIRE_ACCEPT && ring)
		run->rings[ring - 1].id = request.u.accept.id_new;
	else if (ring)
		run->rings[ring - 1].id = request.id;
}

/* What a program would do next with the socket of this name, or NO_CALL. */
static uint32_t random_next_call(struct random_run *run, uint64_t id)
{
	const struct guest_socket *socket =
		socket_table_find(run->guest->engine->calls.sockets, id);
	uint32_t draw = random_below(run, 8);

	if (!socket)
		return WIRE_SOCKET;
	switch (socket->state) {
	case SOCKET_NEW:
		return draw < 4 ? WIRE_CONNECT : WIRE_BIND;
	case SOCKET_BOUND:
		return draw ? WIRE_LISTEN : WIRE_CONNECT;
	case SOCKET_LISTENING:
		return draw < 5 ? WIRE_ACCEPT : draw < 7 ? WIRE_POLL : WIRE_RELEASE;
	case SOCKET_KILLED:
		return draw < 4 ? WIRE_RELEASE : WIRE_SOCKET;
	case SOCKET_RESERVED:
	case SOCKET_REFUSED:
	case SOCKET_CONNECTING:
	case SOCKET_STREAM:
		break;
	}
	return draw < 2 ? WIRE_RELEASE : NO_CALL;
}

/* Mostly what makes sense; else any of the seven, or none of them. */
void random_ask(struct random_run *run)
{
	uint64_t id = random_below(run, RANDOM_NAMES);
	uint32_t cmd =
		random_below(run, 4) ? random_next_call(run, id) : random_below(run, WIRE_POLL + 2);

	if (cmd != NO_CALL && run->guest->req_prod - run->guest->rsp_cons < COMMAND_SLOTS)
		random_request(run, cmd, id);
}

void random_move_bytes(struct random_run *run)
{
	uint32_t ring = random_below(run, RANDOM_RINGS);
	struct indexes_page *page = guest_page(run->guest, RING(ring));
	uint32_t room = DATA_RING_BYTES(1) - (page->out_prod - page->out_cons);
	struct guest_socket *socket =
		socket_table_find(run->guest->engine->calls.sockets, run->rings[ring].id);
	int bytes = RANDOM_SOCKET_BYTES;

	if (run->rings[ring].use != RING_OPEN)
		return;
	if (socket && socket->state == SOCKET_STREAM)
		setsockopt(socket->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	switch (random_below(run, 8)) {
	case 0:
		page->in_cons = page->in_prod;
		break;
	case 1:
		page->out_end = 1;
		break;
	default:
		if (!page->out_end)
			page->out_prod += random_below(run, 3) ? room : random_below(run, room + 1);
		break;
	}
	guest_ring(run->guest, 1 + RING(ring));
}

static void random_peer_close(struct random_run *run, uint32_t peer, bool reset)
{
	if (run->peers[peer] >= 0 && reset)
		socket_reset(run->peers[peer]);
	else if (run->peers[peer] >= 0)
		close(run->peers[peer]);
	run->peers[peer] = -1;
}

/* A listener of the guest, or NULL. */
static const struct guest_socket *random_listener(struct random_run *run)
{
	uint64_t first = random_below(run, RANDOM_NAMES);
	uint64_t i;

	for (i = 0; i < RANDOM_NAMES; i++) {
		const struct guest_socket *socket = socket_table_find(
			run->guest->engine->calls.sockets, (first + i) % RANDOM_NAMES);

		if (socket && socket->state == SOCKET_LISTENING)
			return socket;
	}
	return NULL;
}

/* A connection to a listener of the guest, which may be none by the time it is there. */
static int random_connect_in(struct random_run *run)
{
	const struct guest_socket *listener = random_listener(run);
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd;

	if (!listener)
		return -1;
	to.sin_port = htons(listener->local.port);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	(void)connect(fd, (struct sockaddr *)&to, sizeof(to));
	return fd;
}

void random_peer(struct random_run *run)
{
	uint8_t bytes[4096] = {0};
	uint32_t peer = random_below(run, RANDOM_PEERS);
	int *fd = &run->peers[peer];

	if (*fd < 0) {
		*fd = random_below(run, 2)
			      ? random_connect_in(run)
			      : accept4(run->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		return;
	}
	switch (random_below(run, 6)) {
	case 0:
		random_peer_close(run, peer, true);
		break;
	case 1:
		random_peer_close(run, peer, false);
		break;
	case 2:
		(void)recv(*fd, bytes, sizeof(bytes), 0);
		break;
	default:
		(void)send(*fd, bytes, random_below(run, sizeof(bytes)), MSG_NOSIGNAL);
		break;
	}
}

void random_kill(struct random_run *run)
{
	struct calls *calls = &run->guest->engine->calls;
	struct guest_socket *socket =
		socket_table_find(calls->sockets, random_below(run, RANDOM_NAMES));
	struct closed_socket closed;

	if (!socket || socket->state == SOCKET_KILLED)
		return;
	random_rings_of_gone(run, socket->id);
	if (!close_socket(calls, socket, AUDIT_CLOSE_OPERATOR, &closed))
		return;
	closed_sockets_record(calls, &closed, 1);
	run->kills++;
}

void random_policy(struct random_run *run)
{
	static const char *const verdicts[] = {
		"delay",
		"delay, defer",
		"defer",
		"delay, deny, rewrite, fault, allow, defer",
		"delay, deny, defer, allow",
		"delay, rewrite, defer",
	};
	static const char *const ops[] = {
		"socket, connect, release, bind, listen, accept, poll",
		"connect",
		"accept",
		"socket, listen",
		"connect, bind, poll, accept",
	};
	char text[1024];

	snprintf(text, sizeof(text),
		 OPEN_POLICY "chain:\n"
			     "  - {plugin: random-verdict, seed: %u, delay: 300us, port: %u,\n"
			     "     on: [%s],\n"
			     "     verdicts: [%s]}\n",
		 random_below(run, 1000), run->port,
		 ops[random_below(run, sizeof(ops) / sizeof(ops[0]))],
		 verdicts[random_below(run, sizeof(verdicts) / sizeof(verdicts[0]))]);
	engine_guest_policy(run->guest, text);
}

void random_stall(struct random_run *run)
{
	struct audit_queue *queue = run->guest->engine->calls.queue;
	uint32_t leave = random_below(run, 3);
	uint32_t slot;

	run->stalled = !run->stalled;
	random_store(run);
	while (run->stalled && audit_queue_used(queue) + leave < AUDIT_QUEUE_SLOTS &&
	       audit_queue_take(queue, &slot)) {
		audit_queue_decided(queue, slot);
		audit_queue_done(queue, slot);
	}
}

void random_pass_time(struct random_run *run)
{
	loop_turn(run->guest->engine->loop, 200 * NS_PER_US);
	random_turn(run);
}
void random_peers_close(struct random_run *run)
{
	uint32_t i;
	int fd;

	for (i = 0; i < RANDOM_PEERS; i++)
		random_peer_close(run, i, true);
	while ((fd = accept(run->listener, NULL, NULL)) >= 0)
		socket_reset(fd);
}
