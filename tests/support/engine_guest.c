/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine_guest.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fault.h"
#include "engine/lifecycle/attach.h"
#include "engine/lifecycle/host_watch.h"
#include "policy/compile.h"
#include "policy/host_view/host_view.h"
#include "policy/plugin_host/plugin_registry.h"
#include "policy/policy.h"
#include "policy/yaml/source.h"
#include "transport/local_backend.h"

#define SEALS          (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define TURNS          64 /* more than any call needs */
#define GUEST_COLLECTS 2u

static int sealed(const char *name, size_t bytes)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0 || fcntl(fd, F_ADD_SEALS, SEALS) < 0)
		abort();
	return fd;
}

static void open_trail(struct engine_guest *guest)
{
	struct audit_identity identity = {.domid = 1, .name = "guest"};
	int memfd = audit_queue_create(&identity);
	int event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	guest->engine->queue_event = event;
	if (audit_queue_open(&guest->engine->calls.queue, memfd, event, event) < 0 ||
	    drain_open(&guest->drain, &identity, memfd, dup(event)) < 0)
		abort();
}

static void open_memory(struct engine_guest *guest)
{
	int fds[4];

	fds[0] = sealed("guest", (size_t)GUEST_PAGES * RING_PAGE_SIZE);
	fds[1] = sealed("events", sizeof(struct local_event_page));
	fds[2] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	fds[3] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	guest->memory = mmap(NULL, (size_t)GUEST_PAGES * RING_PAGE_SIZE, PROT_READ | PROT_WRITE,
			     MAP_SHARED, fds[0], 0);
	guest->events =
		mmap(NULL, sizeof(*guest->events), PROT_READ | PROT_WRITE, MAP_SHARED, fds[1], 0);
	if (local_backend_open(&guest->engine->transport, fds, 4) < 0)
		abort();
}

void engine_guest_policy(struct engine_guest *guest, const char *text)
{
	struct engine *engine = guest->engine;
	struct policy_source source = {.size = strlen(text)};
	struct policy *policy = NULL;
	struct fault fault = {.text = ""};

	source.path = strdup("test.yaml");
	source.text = strdup(text);
	if (policy_compile(&policy, &source, engine->plugins, engine->host, &engine->guest,
			   engine->calls.policy, &engine->log, &fault) < 0) {
		fprintf(stderr, "%s\n", fault.text);
		abort();
	}
	if (engine->calls.policy)
		policy_free(engine->calls.policy);
	engine->calls.policy = policy;
	free(source.path);
	free(source.text);
}

static void open_host_and_plugins(struct engine *engine)
{
	struct fault fault = {.text = ""};

	if (host_view_open(&engine->host, 0, 0, &fault) < 0 || host_watch_open(engine) < 0 ||
	    plugin_registry_load(&engine->plugins, TEST_PLUGIN_DIR, &fault) < 0) {
		fprintf(stderr, "%s\n", fault.text);
		abort();
	}
}

struct engine_guest *engine_guest_open(const char *policy_text, uint32_t max_sockets)
{
	struct engine_guest *guest = calloc(1, sizeof(*guest));
	int ends[2];

	if (sodium_init() < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0)
		abort();
	guest->supervisor = ends[0];
	guest->engine = engine_create(ends[1]);
	log_init(&guest->engine->log, "engine_guest", LOG_LEVEL_ERROR);
	guest->engine->guest.size = sizeof(struct pvcalls_guest);
	snprintf(guest->engine->guest.name, sizeof(guest->engine->guest.name), "guest");
	guest->engine->calls.sockets = socket_table_create(max_sockets, &guest->engine->calls);
	open_trail(guest);
	open_memory(guest);
	open_host_and_plugins(guest->engine);
	engine_guest_policy(guest, policy_text);
	return guest;
}

void engine_guest_close(struct engine_guest *guest)
{
	int control = guest->engine->control;

	engine_detach(guest->engine, AUDIT_CLOSE_GUEST_GONE);
	engine_destroy(guest->engine);
	drain_close(guest->drain);
	munmap(guest->memory, (size_t)GUEST_PAGES * RING_PAGE_SIZE);
	munmap(guest->events, sizeof(*guest->events));
	close(guest->supervisor);
	close(control);
	free(guest);
}

void engine_guest_attach_with(struct engine_guest *guest, const struct engine_attach_args *features)
{
	struct engine_attach_args attach = *features;
	struct fault fault;

	attach.ring_ref = 0;
	attach.port = GUEST_COMMAND_PORT;
	memset(guest->memory, 0, (size_t)GUEST_PAGES * RING_PAGE_SIZE);
	memset(guest->events, 0, sizeof(*guest->events));
	guest->req_prod = 0;
	guest->rsp_cons = 0;
	guest->parks = attach.park;
	guest->parked_count = guest->parked_ever = guest->collects = 0;
	memset(guest->parked, 0, sizeof(guest->parked));
	guest_command_page(guest)->req_event = 1;
	guest_command_page(guest)->rsp_event = 1;
	if (engine_attach(guest->engine, &attach, &fault) < 0) {
		fprintf(stderr, "%s\n", fault.text);
		abort();
	}
}

void engine_guest_attach(struct engine_guest *guest, bool extensions)
{
	const struct engine_attach_args features = {.names = extensions,
						    .names_on_demand = extensions,
						    .cancel = extensions,
						    .park = extensions,
						    .reuse = extensions,
						    .half_close = extensions};

	engine_guest_attach_with(guest, &features);
}

void *guest_page(struct engine_guest *guest, uint32_t ref)
{
	return guest->memory + (size_t)ref * RING_PAGE_SIZE;
}

struct command_page *guest_command_page(struct engine_guest *guest)
{
	return guest_page(guest, 0);
}

struct indexes_page *guest_make_ring(struct engine_guest *guest, uint32_t ref, uint32_t order,
				     uint32_t first_data)
{
	struct indexes_page *page = guest_page(guest, ref);
	uint32_t i;

	memset(page, 0, RING_PAGE_SIZE);
	page->ring_order = order;
	for (i = 0; i < 1u << order && i < DATA_REFS_MAX; i++)
		page->ref[i] = first_data + i;
	return page;
}

void guest_ring(struct engine_guest *guest, uint32_t port)
{
	struct local_events *events = &guest->events->to_backend;

	port %= LOCAL_PORTS;
	events->word[port / 64] |= 1ull << port % 64;
	events->selector[port / 4096] |= 1ull << (port / 64 % 64);
}

void guest_push(struct engine_guest *guest, const struct wire_request *request)
{
	struct command_page *page = guest_command_page(guest);

	page->slot[guest->req_prod++ % COMMAND_SLOTS].request = *request;
	page->req_prod = guest->req_prod;
	guest_ring(guest, GUEST_COMMAND_PORT);
}

static void guest_keep_collects(struct engine_guest *guest)
{
	static const struct wire_request collect = {.cmd = WIRE_COLLECT, .req_id = UINT32_MAX};

	while (!guest->keeps_no_collects && guest->collects < guest->parked_count &&
	       guest->collects < GUEST_COLLECTS &&
	       guest->req_prod - guest->rsp_cons < COMMAND_SLOTS) {
		guest_push(guest, &collect);
		guest->collects++;
	}
}

/* Makes the answer to a COLLECT that of the parked call. */
static void guest_unpark(struct engine_guest *guest, struct wire_response *response)
{
	struct wire_response *parked = &guest->parked[response->id % PARKED_MAX];

	assert(parked->pad == response->id && parked->ret && guest->collects);
	guest->collects--;
	guest->parked_count--;
	response->req_id = parked->req_id;
	response->cmd = parked->cmd;
	response->id = parked->id;
	parked->ret = 0;
}

bool guest_collect(struct engine_guest *guest, struct wire_response *response)
{
	struct command_page *page = guest_command_page(guest);

	while (page->rsp_prod != guest->rsp_cons) {
		*response = page->slot[guest->rsp_cons++ % COMMAND_SLOTS].response;
		if (!guest->parks || response->ret != -EINPROGRESS) {
			if (guest->parks && response->cmd == WIRE_COLLECT)
				guest_unpark(guest, response);
			guest_keep_collects(guest);
			return true;
		}
		assert(!guest->parked[response->pad % PARKED_MAX].ret);
		guest->parked[response->pad % PARKED_MAX] = *response;
		guest->parked_count++;
		guest->parked_ever++;
		guest_keep_collects(guest);
	}
	return false;
}

uint32_t guest_untaken(const struct engine_guest *guest)
{
	const struct command_page *page = (const void *)guest->memory;
	uint32_t count = 0;
	uint32_t at;

	for (at = guest->engine->calls.ring.req_cons; at != guest->req_prod; at++)
		count += page->slot[at % COMMAND_SLOTS].request.cmd != WIRE_COLLECT;
	return count;
}

void engine_guest_turn(struct engine_guest *guest)
{
	int turns;

	for (turns = 0; turns < TURNS; turns++) {
		bool busy = engine_turn(guest->engine);

		if (loop_turn(guest->engine->loop, 0) <= 0 && !busy)
			return;
	}
}

uint32_t engine_guest_store(struct engine_guest *guest)
{
	struct audit_record record;
	uint32_t count = 0;

	while (drain_take(guest->drain, &record)) {
		guest->records[guest->record_count++ % GUEST_RECORDS] = record;
		count++;
	}
	drain_committed(guest->drain);
	if (drain_damage(guest->drain))
		abort();
	return count;
}
