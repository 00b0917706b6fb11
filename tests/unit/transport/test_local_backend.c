/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Both ends of the local transport: events that are neither lost nor repeated, maps that are
 * checked, and guests that say hello in every wrong way.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/loop.h"
#include "ring/layout.h"
#include "transport/local_backend.h"
#include "transport/local_host.h"
#include "transport/local_wire.h"

#define PAGES 64
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static bool no_memory;

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

void *__wrap_calloc(size_t count, size_t size)
{
	return no_memory ? NULL : __real_calloc(count, size);
}

static int memory(size_t bytes, int seals)
{
	int fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0 || fcntl(fd, F_ADD_SEALS, seals) < 0)
		return -1;
	return fd;
}

/* The engine's end, and what a guest would hold of it. */
struct ends {
	struct transport *transport;
	struct local_event_page *events;
	uint8_t *memory;
	int guest_eventfd;
};

static int open_ends(void **state)
{
	struct ends *ends = calloc(1, sizeof(*ends));
	int fds[4];

	fds[0] = memory(PAGES * RING_PAGE_SIZE, SEALS);
	fds[1] = memory(sizeof(struct local_event_page), SEALS);
	fds[2] = eventfd(0, EFD_NONBLOCK);
	fds[3] = eventfd(0, EFD_NONBLOCK);
	ends->memory =
		mmap(NULL, PAGES * RING_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
	ends->events =
		mmap(NULL, sizeof(*ends->events), PROT_READ | PROT_WRITE, MAP_SHARED, fds[1], 0);
	ends->guest_eventfd = dup(fds[3]);
	*state = ends;
	return local_backend_open(&ends->transport, fds, 4);
}

static int close_ends(void **state)
{
	struct ends *ends = *state;

	ends->transport->ops->close(ends->transport);
	munmap(ends->memory, PAGES * RING_PAGE_SIZE);
	munmap(ends->events, sizeof(*ends->events));
	close(ends->guest_eventfd);
	free(ends);
	return 0;
}

/* Opens a backend of so many descriptors, which fails, and sees that they are closed. */
static int open_in_vain(size_t count)
{
	struct transport *transport = NULL;
	int fds[5];
	size_t i;
	int result;

	for (i = 0; i < count; i++)
		fds[i] = eventfd(0, EFD_NONBLOCK);
	result = local_backend_open(&transport, fds, count);
	assert_null(transport);
	for (i = 0; i < count; i++)
		assert_int_equal(fcntl(fds[i], F_GETFD), -1);
	return result;
}

static void test_a_failed_open_closes_its_descriptors(void **state)
{
	(void)state;
	assert_int_equal(open_in_vain(3), -EINVAL);
	assert_int_equal(open_in_vain(5), -EINVAL);
	assert_true(open_in_vain(4) < 0); /* an eventfd is no memory */
	no_memory = true;
	assert_int_equal(open_in_vain(4), -ENOMEM);
	no_memory = false;
}

static void guest_notifies(struct ends *ends, uint32_t port)
{
	ends->events->to_backend.word[port / 64] |= 1ull << port % 64;
	ends->events->to_backend.selector[port / 4096] |= 1ull << (port / 64 % 64);
}

static int pending(struct ends *ends, uint32_t *ports, size_t max)
{
	return ends->transport->ops->pending(ends->transport, ports, max);
}

static void test_events_mask_until_unmasked(void **state)
{
	struct ends *ends = *state;
	const struct transport_ops *ops = ends->transport->ops;
	uint32_t ports[256];
	uint32_t port;

	assert_int_equal(ops->bind(ends->transport, 4097, &port), 0);
	guest_notifies(ends, 4097);
	assert_int_equal(pending(ends, ports, 256), 1);
	assert_int_equal(ports[0], port);
	assert_int_equal(pending(ends, ports, 256), 0);
	guest_notifies(ends, 4097);
	assert_int_equal(pending(ends, ports, 256), 0); /* masked */
	ops->unmask(ends->transport, port);
	assert_int_equal(pending(ends, ports, 256), 1); /* it came meanwhile */
	ops->unmask(ends->transport, port);
	assert_int_equal(pending(ends, ports, 256), 0);
}

static void test_unbound_ports_are_ignored(void **state)
{
	struct ends *ends = *state;
	const struct transport_ops *ops = ends->transport->ops;
	uint32_t ports[256];
	uint32_t port;

	assert_int_equal(ops->bind(ends->transport, 0, &port), -EINVAL);
	assert_int_equal(ops->bind(ends->transport, LOCAL_PORTS, &port), -EINVAL);
	assert_int_equal(ops->bind(ends->transport, UINT32_MAX, &port), -EINVAL);
	assert_int_equal(ops->bind(ends->transport, 5, &port), 0);
	assert_int_equal(ops->bind(ends->transport, 5, &port), -EEXIST);
	memset(&ends->events->to_backend.selector, 0xff, sizeof(ends->events->to_backend.selector));
	memset(&ends->events->to_backend.word, 0xff, sizeof(ends->events->to_backend.word));
	assert_int_equal(pending(ends, ports, 256), 1);
	assert_int_equal(ports[0], 5);
	ops->unbind(ends->transport, 5);
	guest_notifies(ends, 5);
	assert_int_equal(pending(ends, ports, 256), 0);
}

/* More events than one call returns: the rest comes with the next. */
static void test_many_events(void **state)
{
	struct ends *ends = *state;
	uint32_t ports[128];
	uint32_t seen[1001] = {0};
	uint32_t port;
	uint32_t i;
	int count;

	for (i = 1; i <= 1000; i++) {
		ends->transport->ops->bind(ends->transport, i, &port);
		guest_notifies(ends, i);
	}
	while ((count = pending(ends, ports, 128)) > 0)
		while (count--)
			seen[ports[count]]++;
	for (i = 1; i <= 1000; i++)
		assert_int_equal(seen[i], 1);
}

static void test_sleeping(void **state)
{
	struct ends *ends = *state;
	const struct transport_ops *ops = ends->transport->ops;
	uint32_t ports[256];
	uint32_t port;

	ops->bind(ends->transport, 9, &port);
	assert_true(ops->may_sleep(ends->transport));
	assert_int_equal(ends->events->to_backend.asleep, 1);
	ops->awake(ends->transport);
	assert_int_equal(ends->events->to_backend.asleep, 0);
	guest_notifies(ends, 9);
	assert_false(ops->may_sleep(ends->transport));
	assert_int_equal(ends->events->to_backend.asleep, 0);
	assert_int_equal(pending(ends, ports, 256), 1);
	guest_notifies(ends, 9);
	pending(ends, ports, 256);
	ops->unmask(ends->transport, port);
	assert_false(ops->may_sleep(ends->transport)); /* one waits for its replay */
}

static void test_eventfd_wakes_sleepers_only(void **state)
{
	struct ends *ends = *state;
	uint64_t rings;

	ends->transport->ops->notify(ends->transport, 70);
	assert_int_equal(read(ends->guest_eventfd, &rings, sizeof(rings)), -1);
	assert_true(ends->events->to_frontend.word[1] == 1ull << 6);
	assert_true(ends->events->to_frontend.selector[0] == 2);
	ends->events->to_frontend.asleep = 1;
	ends->transport->ops->notify(ends->transport, 71);
	assert_int_equal(read(ends->guest_eventfd, &rings, sizeof(rings)), sizeof(rings));
	assert_int_equal(ends->events->to_frontend.asleep, 0);
}

static void test_maps(void **state)
{
	struct ends *ends = *state;
	const struct transport_ops *ops = ends->transport->ops;
	uint32_t refs[4] = {7, 3, 9, 1};
	uint32_t run[3] = {10, 11, 12};
	uint32_t beyond[2] = {PAGES - 1, PAGES};
	uint8_t *span;
	int i;

	for (i = 0; i < PAGES; i++)
		ends->memory[(size_t)i * RING_PAGE_SIZE] = (uint8_t)i;
	assert_int_equal(ops->map(ends->transport, refs, 4, (void **)&span), 0);
	for (i = 0; i < 4; i++)
		assert_int_equal(span[(size_t)i * RING_PAGE_SIZE], refs[i]);
	span[RING_PAGE_SIZE + 5] = 42;
	assert_int_equal(ends->memory[3 * RING_PAGE_SIZE + 5], 42);
	ops->unmap(ends->transport, span, 4);
	assert_int_equal(ops->map(ends->transport, run, 3, (void **)&span), 0);
	assert_int_equal(span[2 * RING_PAGE_SIZE], 12);
	ops->unmap(ends->transport, span, 3);
	assert_int_equal(ops->map(ends->transport, beyond, 2, (void **)&span), -EINVAL);
	assert_int_equal(ops->map(ends->transport, refs, 0, (void **)&span), -EINVAL);
	assert_int_equal(ops->map(ends->transport, refs, DATA_REFS_MAX + 1, (void **)&span),
			 -EINVAL);
}

/* The supervisor's end with a guest that is this test. */
struct world {
	struct loop *loop;
	struct transport_host *host;
	struct device_events events;
	char dir[32];
	struct device *device;
	int added;
	int changed;
	int removed;
};

static void on_added(void *context, struct device *device)
{
	struct world *world = context;

	world->added++;
	world->device = device;
}

static void on_changed(void *context, struct device *device)
{
	((struct world *)context)->changed++;
	(void)device;
}

static void on_removed(void *context, struct device *device)
{
	((struct world *)context)->removed++;
	(void)device;
}

static bool on_may_attach(void *context, uint32_t uid, const char *name, struct fault *fault)
{
	(void)context;
	(void)uid;
	if (strcmp(name, "welcome") == 0)
		return true;
	fault_set(fault, EPERM, "not you");
	return false;
}

static int open_world(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct fault fault;

	world->loop = loop_create();
	world->events = (struct device_events){on_added, on_changed,    on_removed,
					       NULL,     on_may_attach, world};
	snprintf(world->dir, sizeof(world->dir), "/tmp/test_local.XXXXXX");
	if (!mkdtemp(world->dir))
		return -1;
	*state = world;
	return local_host_listen(&world->host, world->dir, world->loop, &world->events, &fault);
}

static int close_world(void **state)
{
	struct world *world = *state;

	world->host->ops->stop(world->host);
	loop_destroy(world->loop);
	rmdir(world->dir);
	free(world);
	return 0;
}

static void turns(struct world *world)
{
	while (loop_turn(world->loop, 0) > 0)
		;
}

static int knock(struct world *world)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/local.sock", world->dir);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void say(int fd, uint32_t kind, uint32_t value, const char *text, const int *fds,
		size_t count)
{
	struct local_message message = {.kind = kind, .value = value};

	snprintf(message.text, sizeof(message.text), "%s", text);
	assert_int_equal(fd_send(fd, &message, 8 + strlen(message.text) + 1, fds, count), 0);
}

/* Says hello and returns the kind of the answer. */
static uint32_t greet(struct world *world, uint32_t version, const char *name, int memory_fd)
{
	struct local_message message = {0};
	int fds[FDS_PER_MESSAGE];
	int fd = knock(world);
	size_t count;
	size_t i;

	say(fd, LOCAL_HELLO, version, name, &memory_fd, memory_fd >= 0);
	turns(world);
	assert_true(fd_receive(fd, &message, sizeof(message), fds, &count) > 0);
	for (i = 0; i < count; i++)
		close(fds[i]);
	close(fd);
	turns(world);
	if (memory_fd >= 0)
		close(memory_fd);
	return message.kind;
}

static void test_hellos(void **state)
{
	struct world *world = *state;
	char name[200];

	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(greet(world, 1, "welcome", memory(1 << 20, SEALS)), LOCAL_WELCOME);
	assert_int_equal(world->added, 1);
	assert_int_equal(world->removed, 1);
	assert_int_equal(greet(world, 2, "welcome", memory(1 << 20, SEALS)), LOCAL_REFUSED);
	assert_int_equal(greet(world, 1, "stranger", memory(1 << 20, SEALS)), LOCAL_REFUSED);
	assert_int_equal(greet(world, 1, name, memory(1 << 20, SEALS)), LOCAL_REFUSED);
	assert_int_equal(greet(world, 1, "welcome", -1), LOCAL_REFUSED);
	assert_int_equal(greet(world, 1, "welcome", memory(1 << 20, F_SEAL_SHRINK)), LOCAL_REFUSED);
	assert_int_equal(greet(world, 1, "welcome", memory(1 << 20, SEALS | F_SEAL_WRITE)),
			 LOCAL_REFUSED);
	assert_int_equal(greet(world, 1, "welcome", memory((1 << 20) + 1, SEALS)), LOCAL_REFUSED);
	assert_int_equal(greet(world, 1, "welcome", memory(4096, SEALS)), LOCAL_REFUSED);
	assert_int_equal(greet(world, 1, "welcome", open("/dev/zero", O_RDWR)), LOCAL_REFUSED);
	assert_int_equal(world->added, 1);
}

static void test_nodes(void **state)
{
	struct world *world = *state;
	struct device_node nodes[] = {{"versions", "1"}, {"state", "2"}};
	char value[DEVICE_VALUE_MAX];
	struct local_message message = {0};
	int fds[FDS_PER_MESSAGE];
	int fd = knock(world);
	int guest_memory = memory(1 << 20, SEALS);
	size_t count;
	int i;

	say(fd, LOCAL_HELLO, 1, "welcome", &guest_memory, 1);
	turns(world);
	fd_receive(fd, &message, sizeof(message), fds, &count);
	assert_int_equal(count, 3);
	while (count)
		close(fds[--count]);
	assert_int_equal(world->host->ops->write(world->device, nodes, 2), 0);
	assert_int_equal(world->device->backend, XENBUS_INIT_WAIT);
	assert_true(fd_receive(fd, &message, sizeof(message), fds, &count) > 0);
	assert_string_equal(message.text, "versions=1\nstate=2\n");
	say(fd, LOCAL_NODES, 0, "ring-ref=8\nport=1\nstate=3\n", NULL, 0);
	turns(world);
	assert_int_equal(world->changed, 1);
	assert_int_equal(world->device->frontend, XENBUS_INITIALISED);
	assert_int_equal(world->host->ops->read(world->device, "ring-ref", value), 0);
	assert_string_equal(value, "8");
	assert_int_equal(world->host->ops->read(world->device, "nothing", value), -ENOENT);
	/* Rubbish changes nothing and costs nothing. */
	say(fd, LOCAL_NODES, 0, "state=99\n=\nx\nlonglonglonglonglonglonglonglonglong=1\n", NULL,
	    0);
	for (i = 0; i < 50; i++) {
		char text[32];

		snprintf(text, sizeof(text), "key%d=1\n", i);
		say(fd, LOCAL_NODES, 0, text, NULL, 0);
		turns(world);
	}
	assert_int_equal(world->device->frontend, XENBUS_UNKNOWN);
	say(fd, 77, 0, "what", NULL, 0);
	turns(world);
	assert_int_equal(world->removed, 0);
	world->host->ops->drop(world->device, "told to");
	assert_int_equal(world->removed, 0);
	turns(world);
	assert_int_equal(world->removed, 1);
	close(fd);
	close(guest_memory);
}

/* A guest hears why it is dropped, though what it has said last is not read any more. */
static void test_a_dropped_guest_hears_why(void **state)
{
	struct world *world = *state;
	struct local_message message = {.kind = 0};
	int guest_memory = memory(1 << 20, SEALS);
	int fd = knock(world);

	say(fd, LOCAL_HELLO, LOCAL_VERSION, "welcome", &guest_memory, 1);
	turns(world);
	assert_true(recv(fd, &message, sizeof(message), 0) > 0);
	assert_int_equal(message.kind, LOCAL_WELCOME);
	say(fd, LOCAL_NODES, 0, "state=4\n", NULL, 0);
	say(fd, LOCAL_NODES, 0, "state=5\n", NULL, 0);
	world->host->ops->drop(world->device, "for a reason");
	turns(world);
	assert_int_equal(world->removed, 1);
	assert_true(recv(fd, &message, sizeof(message), 0) > 0);
	assert_int_equal(message.kind, LOCAL_REFUSED);
	assert_string_equal(message.text, "for a reason");
	assert_int_equal(recv(fd, &message, sizeof(message), 0), 0);
	close(fd);
	close(guest_memory);
}

#define ENDS(name)  cmocka_unit_test_setup_teardown(name, open_ends, close_ends)
#define WORLD(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_failed_open_closes_its_descriptors),
		ENDS(test_events_mask_until_unmasked),
		ENDS(test_unbound_ports_are_ignored),
		ENDS(test_many_events),
		ENDS(test_sleeping),
		ENDS(test_eventfd_wakes_sleepers_only),
		ENDS(test_maps),
		WORLD(test_hellos),
		WORLD(test_nodes),
		WORLD(test_a_dropped_guest_hears_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
