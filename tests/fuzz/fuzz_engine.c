/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The whole engine against a guest that does anything with its memory and events.
 *
 * The input is a list of steps: scribble over a page, push a request (well-formed but for what the
 * input says), move an index, ring a port, let the peer act, let the engine turn. Sockets are real
 * and live in an empty network namespace of this process. What must hold, besides that nothing
 * crashes:
 *
 *   - never more responses than requests, and as many records as calls;
 *   - after detaching no socket is left, no descriptor and no slot of the trail's queue is taken.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "audit/drain.h"
#include "base/fault.h"
#include "engine/calls.h"
#include "engine/engine.h"
#include "policy/source.h"
#include "transport/local_wire.h"

#define PAGES    64u
#define SEALS    (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define SOCKETS  16u
#define LISTENER 4000u /* the port of a server that the guest may reach */

static const char policy_text[] = "version: 1\n"
				  "name: fuzz\n"
				  "match: {name: fuzz}\n"
				  "default: allow\n"
				  "floor: {allow: [{on: [connect, bind], "
				  "to: {net: [127.0.0.0/8]}}]}\n";

struct fuzz {
	struct engine *engine;
	struct drain *drain;
	uint8_t *memory;
	struct local_event_page *events;
	int supervisor;
	int listener;
	int peer; /* the last connection the listener accepted, or -1 */
	int descriptors; /* before this input */
	uint32_t req_prod;
};

static int sealed(const char *name, size_t bytes)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0);
	assert(fcntl(fd, F_ADD_SEALS, SEALS) == 0);
	return fd;
}

static int count_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

/* A network of our own, so that no step can reach anything. */
static void leave_network(void)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd;

	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) {
		perror("fuzz_engine: no network namespace");
		exit(1);
	}
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	assert(ioctl(fd, SIOCSIFFLAGS, &request) == 0);
	close(fd);
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

static void open_trail(struct fuzz *fuzz)
{
	struct audit_identity identity = {.domid = 1, .name = "fuzz"};
	int memfd = audit_queue_create(&identity);
	int bell = eventfd(0, EFD_NONBLOCK);

	fuzz->engine->doorbell = bell;
	assert(audit_queue_open(&fuzz->engine->queue, memfd, bell, bell) == 0);
	assert(drain_open(&fuzz->drain, &identity, memfd, dup(bell)) == 0);
}

static void open_guest(struct fuzz *fuzz)
{
	int fds[4];

	fds[0] = sealed("guest", (size_t)PAGES * RING_PAGE_SIZE);
	fds[1] = sealed("events", sizeof(struct local_event_page));
	fds[2] = eventfd(0, EFD_NONBLOCK);
	fds[3] = eventfd(0, EFD_NONBLOCK);
	fuzz->memory = mmap(NULL, (size_t)PAGES * RING_PAGE_SIZE, PROT_READ | PROT_WRITE,
			    MAP_SHARED, fds[0], 0);
	fuzz->events =
		mmap(NULL, sizeof(*fuzz->events), PROT_READ | PROT_WRITE, MAP_SHARED, fds[1], 0);
	assert(transport_local_open(&fuzz->engine->transport, fds, 4) == 0);
}

static void open_policy(struct engine *engine)
{
	char folder[] = "/tmp/fuzz_engine.XXXXXX";
	struct policy_source source = {.size = sizeof(policy_text) - 1};
	struct fault fault = {.text = ""};

	source.path = strdup("fuzz.yaml");
	source.text = strdup(policy_text);
	assert(mkdtemp(folder));
	assert(host_view_open(&engine->host, 0, 0, &fault) == 0);
	assert(plugin_registry_load(&engine->plugins, folder, &fault) == 0);
	if (policy_compile(&engine->policy, &source, engine->plugins, engine->host, &engine->guest,
			   NULL, &engine->log, &fault) < 0) {
		fprintf(stderr, "%s\n", fault.text);
		abort();
	}
	rmdir(folder);
	free(source.path);
	free(source.text);
}

static struct fuzz *fuzz_open(void)
{
	struct fuzz *fuzz = calloc(1, sizeof(*fuzz));
	int ends[2];

	assert(sodium_init() >= 0);
	leave_network();
	assert(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends) == 0);
	fuzz->supervisor = ends[0];
	fuzz->peer = -1;
	fuzz->listener = open_listener();
	fuzz->engine = engine_create(ends[1]);
	log_init(&fuzz->engine->log, "fuzz_engine", LOG_LEVEL_ERROR);
	fuzz->engine->guest =
		(struct pvcalls_guest){.size = sizeof(struct pvcalls_guest), .name = "fuzz"};
	fuzz->engine->sockets = socket_table_create(SOCKETS);
	open_trail(fuzz);
	open_guest(fuzz);
	open_policy(fuzz->engine);
	return fuzz;
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

static struct command_page *command_page(struct fuzz *fuzz)
{
	return (struct command_page *)fuzz->memory;
}

/* The indexes page of one of eight connections; its order is small and its references follow. */
static struct indexes_page *indexes(struct fuzz *fuzz, uint8_t which)
{
	return (struct indexes_page *)(fuzz->memory + (size_t)(1 + which % 8) * RING_PAGE_SIZE);
}

static void ring_port(struct fuzz *fuzz, uint32_t port)
{
	port %= LOCAL_PORTS;
	fuzz->events->to_backend.word[port / 64] |= 1ull << port % 64;
	fuzz->events->to_backend.selector[port / 4096] |= 1ull << (port / 64 % 64);
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
	command_page(fuzz)->slot[fuzz->req_prod++ % COMMAND_SLOTS].request = request;
	command_page(fuzz)->req_prod = fuzz->req_prod;
	ring_port(fuzz, 1);
}

static void move_index(struct fuzz *fuzz, struct input *input)
{
	struct indexes_page *page = indexes(fuzz, next(input));
	uint32_t by = next(input);

	if (by == 255)
		by = next32(input);
	switch (next(input) % 4) {
	case 0:
		page->in_cons += by;
		break;
	case 1:
		page->out_prod += by;
		break;
	case 2:
		page->in_cons = page->in_prod;
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
	size_t at = next32(input) % (PAGES * RING_PAGE_SIZE);
	size_t count = next(input) % 16;

	while (count-- && at < (size_t)PAGES * RING_PAGE_SIZE)
		fuzz->memory[at++] = next(input);
}

/* Stores what the engine recorded. Returns how many records there were. */
static uint64_t store(struct fuzz *fuzz)
{
	struct audit_record record;
	uint64_t count = 0;

	while (drain_take(fuzz->drain, &record))
		count++;
	drain_committed(fuzz->drain);
	assert(!drain_damage(fuzz->drain));
	return count;
}

static void turn(struct fuzz *fuzz)
{
	struct command_ring *ring = &fuzz->engine->ring;
	int turns = 4;

	while (turns-- && engine_turn(fuzz->engine))
		loop_turn(fuzz->engine->loop, 0);
	loop_turn(fuzz->engine->loop, 0);
	if (fuzz->engine->attached)
		assert(ring->rsp_prod - ring->req_cons - 1 >= (uint32_t)-1 - COMMAND_SLOTS);
	store(fuzz);
}

static void step(struct fuzz *fuzz, struct input *input)
{
	switch (next(input) % 8) {
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
		ring_port(fuzz, next(input) % 16);
		break;
	case 6:
		act_as_peer(fuzz, input);
		break;
	default:
		turn(fuzz);
		break;
	}
}

static void reset_guest(struct fuzz *fuzz)
{
	uint32_t which;
	uint32_t i;

	memset(fuzz->memory, 0, (size_t)PAGES * RING_PAGE_SIZE);
	memset(fuzz->events, 0, sizeof(*fuzz->events));
	fuzz->req_prod = 0;
	command_page(fuzz)->req_event = 1;
	command_page(fuzz)->rsp_event = 1;
	for (which = 0; which < 8; which++) {
		indexes(fuzz, (uint8_t)which)->ring_order = 1 + which % 3;
		for (i = 0; i < 8; i++)
			indexes(fuzz, (uint8_t)which)->ref[i] = 9 + (which * 6 + i) % 48;
	}
}

static void swallow_messages(struct fuzz *fuzz)
{
	char bytes[512];

	while (recv(fuzz->supervisor, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

static void check_baseline(struct fuzz *fuzz)
{
	store(fuzz);
	audit_queue_reap(fuzz->engine->queue, NULL, NULL);
	assert(socket_table_count(fuzz->engine->sockets) == 0);
	assert(audit_queue_used(fuzz->engine->queue) == 0);
	assert(!fuzz->engine->run_first);
	if (fuzz->peer >= 0)
		close(fuzz->peer);
	fuzz->peer = -1;
	while (loop_turn(fuzz->engine->loop, 0) > 0)
		;
	assert(count_descriptors() <=
	       fuzz->descriptors + (linger_bytes(fuzz->engine->lingers) ? (int)SOCKETS : 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz *fuzz;
	struct control_attach attach = {.ring_ref = 0, .port = 1};
	struct input input = {data, size};
	struct fault fault;

	if (!fuzz)
		fuzz = fuzz_open();
	reset_guest(fuzz);
	fuzz->descriptors = count_descriptors();
	attach.names = next(&input) & 1;
	fuzz->engine->start.sync = next(&input) & 1;
	assert(engine_attach(fuzz->engine, &attach, &fault) == 0);
	while (input.left)
		step(fuzz, &input);
	turn(fuzz);
	engine_detach(fuzz->engine, AUDIT_CLOSE_GUEST_GONE);
	swallow_messages(fuzz);
	check_baseline(fuzz);
	return 0;
}
