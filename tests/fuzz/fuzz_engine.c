/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The whole engine against a guest that does anything with its memory and events.
 *
 * The input is a list of steps: scribble over a page, push a request (well-formed but for what the
 * input says), move an index, send an event, let the peer act, let the engine turn, let time pass,
 * have the operator kill a socket or load another policy. Half of the inputs have a plugin in the
 * chain that delays, denies, rewrites and fails by chance. Sockets are real and live in an empty
 * network namespace of this process. What must hold, besides that nothing crashes and no assertion
 * fails:
 *
 *   - every call has one record and, unless the protocol wants none, one response at most;
 *   - after detaching no socket is left, no descriptor and no slot of the trail's queue is taken.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "engine/calls/close_socket.h"
#include "engine/lifecycle/attach.h"
#include "engine_guest.h"
#include "engine_invariants.h"
#include "own_network.h"

#define LISTENER 4000u /* the port of a server that the guest may reach */

#define DELAY "100us" /* the longest that the plugin has a call wait */

static const char open_policy[] = "version: 1\n"
				  "name: fuzz\n"
				  "match: {name: fuzz}\n"
				  "default: allow\n"
				  "floor: {allow: [{on: [connect, bind], "
				  "to: {net: [127.0.0.0/8]}}]}\n";

/* What follows it: a seed is printed in between. */
static const char random_chain[] =
	"chain:\n"
	"  - {plugin: random-verdict, seed: %u, delay: " DELAY ", port: 4000,\n"
	"     on: [socket, connect, release, bind, listen, accept, poll],\n"
	"     verdicts: [%s]}\n";

/* Mostly delays, since what waits is what can go wrong. */
static const char *const verdicts[] = {
	"delay",
	"delay, defer",
	"delay, deny, rewrite, fault, allow, defer",
	"delay, rewrite",
};

struct fuzz {
	struct engine_guest *guest;
	int listener;
	int peer;         /* the last connection the listener accepted, or -1 */
	int descriptors;  /* before this input */
	uint64_t serials; /* calls before it */
	uint64_t records; /* since */
};

static int count_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

static int open_listener(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons(LISTENER),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	assert(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	assert(listen(fd, 64) == 0);
	return fd;
}

static struct fuzz *fuzz_open(void)
{
	struct fuzz *fuzz = calloc(1, sizeof(*fuzz));

	if (own_network_enter() < 0) {
		perror("fuzz_engine: no network namespace");
		exit(1);
	}
	fuzz->peer = -1;
	fuzz->listener = open_listener();
	fuzz->guest = engine_guest_open(open_policy, GUEST_SOCKETS);
	return fuzz;
}

/* Loads the open policy, or one with the plugin as well. */
static void load_policy(struct fuzz *fuzz, uint32_t seed)
{
	char text[1024];
	int used = snprintf(text, sizeof(text), "%s", open_policy);

	if (seed & 1)
		snprintf(text + used, sizeof(text) - (size_t)used, random_chain, seed,
			 verdicts[seed / 2 % 4]);
	engine_guest_policy(fuzz->guest, text);
}

/* The input, taken from front to back; zeros when it is used up. */
struct input {
	const uint8_t *bytes;
	size_t left;
};

static uint8_t next(struct input *input)
{
	if (!input->left)
		return 0;
	input->left--;
	return *input->bytes++;
}

static uint32_t next32(struct input *input)
{
	uint32_t value = next(input);

	value |= (uint32_t)next(input) << 8;
	value |= (uint32_t)next(input) << 16;
	return value | (uint32_t)next(input) << 24;
}

/* The indexes page of one of eight connections. */
static struct indexes_page *indexes(struct fuzz *fuzz, uint8_t which)
{
	return guest_page(fuzz->guest, 1 + which % 8);
}

static void make_address(struct input *input, uint8_t addr[WIRE_ADDR_BYTES])
{
	static const uint8_t reachable[8] = {2, 0, LISTENER >> 8, LISTENER & 0xff, 127, 0, 0, 1};
	uint8_t mutate = next(input);

	memset(addr, 0, WIRE_ADDR_BYTES);
	memcpy(addr, reachable, sizeof(reachable));
	if (mutate & 0x80)
		addr[mutate % WIRE_ADDR_BYTES] = next(input);
}

static void push_request(struct fuzz *fuzz, struct input *input)
{
	struct wire_request request = {.req_id = next(input), .cmd = next(input) % 9};
	uint8_t which;

	request.id = next(input) % 8;
	which = next(input);
	if (request.cmd == 8)
		request.cmd = WIRE_COLLECT;
	switch (request.cmd) {
	case WIRE_SOCKET:
		request.u.socket.domain = 2 + (which >> 7);
		request.u.socket.type = 1;
		break;
	case WIRE_CONNECT:
	case WIRE_BIND:
		make_address(input, request.u.connect.addr);
		request.u.connect.len = 16 + (which >> 4);
		request.u.connect.ref = 1 + which % 8;
		request.u.connect.evtchn = 2 + which % 8;
		break;
	case WIRE_LISTEN:
		request.u.listen.backlog = next32(input);
		break;
	case WIRE_ACCEPT:
		request.u.accept.id_new = which % 16;
		request.u.accept.ref = 1 + which % 8;
		request.u.accept.evtchn = 2 + which % 8;
		break;
	default:
		break;
	}
	guest_push(fuzz->guest, &request);
}

static void move_index(struct fuzz *fuzz, struct input *input)
{
	struct indexes_page *page = indexes(fuzz, next(input));
	uint32_t by = next(input);

	if (by == 255)
		by = next32(input);
	switch (next(input) % 5) {
	case 0:
		page->in_cons += by;
		break;
	case 1:
		page->out_prod += by;
		break;
	case 2:
		page->in_cons = page->in_prod;
		break;
	case 4:
		page->out_end = by;
		break;
	default:
		page->ring_order = by;
		break;
	}
}

static void act_as_peer(struct fuzz *fuzz, struct input *input)
{
	uint8_t bytes[256] = {0};

	switch (next(input) % 4) {
	case 0:
		if (fuzz->peer >= 0)
			close(fuzz->peer);
		fuzz->peer = accept4(fuzz->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		break;
	case 1:
		if (fuzz->peer >= 0)
			(void)send(fuzz->peer, bytes, next(input), MSG_NOSIGNAL);
		break;
	case 2:
		if (fuzz->peer >= 0)
			(void)recv(fuzz->peer, bytes, sizeof(bytes), 0);
		break;
	default:
		if (fuzz->peer >= 0)
			socket_reset(fuzz->peer);
		fuzz->peer = -1;
		break;
	}
}

static void scribble(struct fuzz *fuzz, struct input *input)
{
	size_t bytes = (size_t)GUEST_PAGES * RING_PAGE_SIZE;
	size_t at = next32(input) % bytes;
	size_t count = next(input) % 16;

	while (count-- && at < bytes)
		fuzz->guest->memory[at++] = next(input);
}

static void turn(struct fuzz *fuzz)
{
	const struct calls *calls = &fuzz->guest->engine->calls;

	engine_guest_turn(fuzz->guest);
	if (calls->attached)
		assert(calls->ring.req_cons - calls->ring.rsp_prod <= COMMAND_SLOTS);
	fuzz->records += engine_guest_store(fuzz->guest);
	if (calls->attached)
		engine_invariants_check(fuzz->guest->engine, 0);
}

/* Longer than any delay, now and then: it is what makes a run slow. */
static void pass_time(struct fuzz *fuzz)
{
	loop_turn(fuzz->guest->engine->loop, 200 * NS_PER_US);
	turn(fuzz);
}

static void kill_a_socket(struct fuzz *fuzz, struct input *input)
{
	struct calls *calls = &fuzz->guest->engine->calls;
	struct guest_socket *socket = socket_table_find(calls->sockets, next(input) % 16);
	struct closed_socket closed;

	if (!calls->attached || !socket || socket->state == SOCKET_KILLED)
		return;
	if (close_socket(calls, socket, AUDIT_CLOSE_OPERATOR, &closed))
		closed_sockets_record(calls, &closed, 1);
}

static void step(struct fuzz *fuzz, struct input *input)
{
	switch (next(input) % 11) {
	case 0:
		scribble(fuzz, input);
		break;
	case 1:
	case 2:
	case 3:
		push_request(fuzz, input);
		break;
	case 4:
		move_index(fuzz, input);
		break;
	case 5:
		guest_ring(fuzz->guest, next(input) % 16);
		break;
	case 6:
		act_as_peer(fuzz, input);
		break;
	case 7:
		pass_time(fuzz);
		break;
	case 8:
		kill_a_socket(fuzz, input);
		break;
	case 9:
		load_policy(fuzz, next(input));
		break;
	default:
		turn(fuzz);
		break;
	}
}

/* Eight rings whose data pages overlap: the guest may do that to itself. */
static void make_rings(struct fuzz *fuzz)
{
	uint32_t which;

	for (which = 0; which < 8; which++)
		guest_make_ring(fuzz->guest, 1 + which, 1 + which % 3, 9 + which * 6);
}

static void swallow_messages(struct fuzz *fuzz)
{
	char bytes[512];

	while (recv(fuzz->guest->supervisor, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

static void check_baseline(struct fuzz *fuzz)
{
	struct engine *engine = fuzz->guest->engine;
	int lingering = lingering_bytes(engine->calls.lingering) ? (int)GUEST_SOCKETS : 0;

	fuzz->records += engine_guest_store(fuzz->guest);
	assert(fuzz->records == engine->calls.serial - fuzz->serials);
	engine_invariants_check_detached(engine);
	if (fuzz->peer >= 0)
		close(fuzz->peer);
	fuzz->peer = -1;
	while (loop_turn(engine->loop, 0) > 0)
		;
	assert(count_descriptors() <= fuzz->descriptors + lingering);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz *fuzz;
	struct input input = {data, size};

	if (!fuzz)
		fuzz = fuzz_open();
	fuzz->descriptors = count_descriptors();
	fuzz->serials = fuzz->guest->engine->calls.serial;
	fuzz->records = 0;
	load_policy(fuzz, next32(&input));
	engine_guest_attach(fuzz->guest, next(&input) & 1);
	make_rings(fuzz);
	fuzz->guest->engine->calls.sync = next(&input) & 1;
	while (input.left)
		step(fuzz, &input);
	turn(fuzz);
	engine_detach(fuzz->guest->engine, AUDIT_CLOSE_GUEST_GONE);
	swallow_messages(fuzz);
	check_baseline(fuzz);
	return 0;
}
