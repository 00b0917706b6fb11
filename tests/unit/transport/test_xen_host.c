/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the supervisor hears of the devices of Xen guests, and how it answers. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/loop.h"
#include "store_world.h"
#include "transport/xen_host.h"

#define QUIET_MS       80
#define KERNEL_BACKEND "/sys/bus/xen-backend/drivers/pvcalls"

/* --- what the linker puts in the place of two system calls --- */

int __real_access(const char *path, int mode);
int __wrap_access(const char *path, int mode);
int __real_bind(int fd, const struct sockaddr *address, socklen_t length);
int __wrap_bind(int fd, const struct sockaddr *address, socklen_t length);

static bool kernel_backend_is_there;

int __wrap_access(const char *path, int mode)
{
	if (strcmp(path, KERNEL_BACKEND) != 0)
		return __real_access(path, mode);
	errno = ENOENT;
	return kernel_backend_is_there ? 0 : -1;
}

/* The name of the lock is the whole machine's: here it is this process's only. */
int __wrap_bind(int fd, const struct sockaddr *address, socklen_t length)
{
	struct sockaddr_un own = {.sun_family = AF_UNIX};
	int used;

	assert_int_equal(address->sa_family, AF_UNIX);
	memcpy(&own, address, length);
	assert_int_equal(own.sun_path[0], '\0');
	used = snprintf((char *)&own + length, sizeof(own) - length, "-%d", getpid());
	return __real_bind(fd, (struct sockaddr *)&own, length + (socklen_t)used);
}

/* --- the supervisor --- */

struct world {
	struct loop *loop;
	struct transport_host *host;
	struct device_events events;
	struct device *device; /* the last one added, NULL once it was removed */
	int added;
	int changed;
	int removed;
	int troubles;
	int comforts;
	bool calling; /* within a call of ours */
	bool write_at_once;
};

static int write_node(struct world *world, const char *key, const char *value)
{
	struct device_node node;
	int error;

	snprintf(node.key, sizeof(node.key), "%s", key);
	snprintf(node.value, sizeof(node.value), "%s", value);
	world->calling = true;
	error = world->host->ops->write(world->device, &node, 1);
	world->calling = false;
	return error;
}

static void added(void *context, struct device *device)
{
	struct world *world = context;

	assert_false(world->calling);
	assert_null(device->owner);
	assert_ptr_equal(device->host, world->host);
	world->device = device;
	world->added++;
	device->owner = world;
	if (world->write_at_once)
		assert_int_equal(write_node(world, "state", "2"), 0);
}

static void changed(void *context, struct device *device)
{
	struct world *world = context;

	assert_false(world->calling);
	assert_ptr_equal(device->owner, world);
	world->changed++;
}

static void removed(void *context, struct device *device)
{
	struct world *world = context;

	assert_false(world->calling);
	assert_ptr_equal(device->owner, world);
	if (world->device == device)
		world->device = NULL;
	world->removed++;
}

static void trouble(void *context, const char *text)
{
	struct world *world = context;

	if (text)
		assert_non_null(strstr(text, "xenstored does not answer"));
	world->troubles += text != NULL;
	world->comforts += text == NULL;
}

static int make_world(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	fake_store_reset();
	kernel_backend_is_there = false;
	world->loop = loop_create();
	world->events = (struct device_events){.added = added,
					       .changed = changed,
					       .removed = removed,
					       .trouble = trouble,
					       .context = world};
	*state = world;
	return 0;
}

static int listen_world(void **state)
{
	struct world *world;

	make_world(state);
	world = *state;
	return xen_host_listen(&world->host, world->loop, &world->events, NULL);
}

static int end_world(void **state)
{
	struct world *world = *state;
	int removals = world->removed;

	if (world->host)
		world->host->ops->stop(world->host);
	loop_destroy(world->loop);
	removals = world->removed - removals; /* the supervisor ends, too: it is told nothing */
	free(world);
	return removals;
}

#define TURN_UNTIL(world, condition)                                                 \
	do {                                                                         \
		const uint64_t end_ns_ = clock_monotonic_ns() + SOON_MS * NS_PER_MS; \
                                                                                     \
		while (!(condition)) {                                               \
			if (clock_monotonic_ns() > end_ns_)                          \
				fail_msg("did not become true: %s", #condition);     \
			loop_turn((world)->loop, NS_PER_MS);                         \
		}                                                                    \
	} while (0)

/* Turns for so long that whatever is under way has come. */
static void turn(struct world *world)
{
	const uint64_t end_ns = clock_monotonic_ns() + QUIET_MS * NS_PER_MS;

	while (clock_monotonic_ns() < end_ns)
		loop_turn(world->loop, NS_PER_MS);
}

/* A device whose first looks are over. */
static struct device *add_device(struct world *world)
{
	fake_device_add(GUEST, 0);
	TURN_UNTIL(world, world->device && world->device->online);
	turn(world);
	return world->device;
}

static bool back_state_is(const char *value)
{
	return fake_store_is(fake_back_path(GUEST, 0, "state"), value);
}

/* --- a device's life --- */

static void test_device_is_told_of_with_its_guest(void **state)
{
	struct device *device = add_device(*state);
	int fds[6];

	assert_int_equal(device->guest.domid, GUEST);
	assert_string_equal(device->guest.name, "guest-7");
	assert_string_equal(device->guest.uuid, FAKE_UUID);
	assert_int_equal(device->frontend, XENBUS_INITIALISING);
	assert_int_equal(device->backend, XENBUS_INITIALISING);
	assert_true(device->lasting);
	assert_int_equal(device->uid, 0);
	assert_int_equal(device->host->ops->descriptors(device, fds), 0);
}

/* A device comes and goes whose guest the toolstack calls so. */
static void assert_name_is_replaced(struct world *world, const char *name)
{
	fake_store_set("/local/domain/7/name", name);
	fake_store_introduce(GUEST);
	fake_device_back(GUEST, 0, "frontend", "/local/domain/7/device/pvcalls/0");
	TURN_UNTIL(world, world->device);
	assert_string_equal(world->device->guest.name, "domain-7");
	fake_device_remove(GUEST, 0);
	TURN_UNTIL(world, !world->device);
}

static void test_name_that_is_not_plain_is_replaced(void **state)
{
	static const char *const bad[] = {"", "a\nb", "caf\xc3\xa9", "\x7f", "\t"};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_name_is_replaced(*state, bad[i]);
}

static void test_changes_of_both_sides_are_told(void **state)
{
	struct world *world = *state;
	struct device *device = add_device(world);
	char value[DEVICE_VALUE_MAX];

	assert_int_equal(device->host->ops->read(device, "port", value), -ENOENT);
	fake_device_front(GUEST, 0, "port", "15");
	fake_device_front(GUEST, 0, "state", "3");
	TURN_UNTIL(world, device->frontend == XENBUS_INITIALISED);
	assert_int_equal(device->host->ops->read(device, "port", value), 0);
	assert_string_equal(value, "15");
	assert_int_equal(device->host->ops->read(device, "ring-ref", value), -ENOENT);
	fake_device_front(GUEST, 0, "state", "6");
	TURN_UNTIL(world, device->frontend == XENBUS_CLOSED);
	assert_int_equal(device->host->ops->read(device, "port", value), -ENOENT);
	fake_device_back(GUEST, 0, "online", "0");
	fake_device_back(GUEST, 0, "state", "5");
	TURN_UNTIL(world, !device->online);
	assert_true(world->changed >= 3);
	assert_int_equal(world->added, 1);
}

static void test_write_from_within_the_news_arrives(void **state)
{
	struct world *world = *state;

	world->write_at_once = true;
	fake_device_add(GUEST, 0);
	TURN_UNTIL(world, back_state_is("2"));
	assert_int_equal(world->added, 1);
}

static void test_device_that_goes_is_told_once(void **state)
{
	struct world *world = *state;

	add_device(world);
	fake_device_remove(GUEST, 0);
	TURN_UNTIL(world, world->removed == 1);
	turn(world);
	assert_int_equal(world->removed, 1);
	assert_int_equal(world->added, 1);
}

static void test_replaced_device_goes_and_another_comes(void **state)
{
	struct world *world = *state;

	add_device(world);
	assert_int_equal(write_node(world, "state", "2"), 0);
	TURN_UNTIL(world, back_state_is("2"));
	turn(world);
	fake_device_remove(GUEST, 0);
	fake_device_add(GUEST, 0);
	TURN_UNTIL(world, world->added == 2);
	assert_int_equal(world->removed, 1);
	turn(world);
	assert_non_null(world->device);
	assert_int_equal(world->device->backend, XENBUS_INITIALISING);
	assert_int_equal(write_node(world, "state", "2"), 0);
	TURN_UNTIL(world, back_state_is("2"));
}

/* --- dropped --- */

static void drop(struct world *world)
{
	world->calling = true;
	world->host->ops->drop(world->device, "a test");
	world->calling = false;
}

static void test_dropped_device_is_silent_until_it_is_another_one(void **state)
{
	struct world *world = *state;

	add_device(world);
	drop(world);
	assert_int_equal(world->removed, 0); /* not from within the call */
	TURN_UNTIL(world, world->removed == 1);
	fake_device_front(GUEST, 0, "state", "3");
	turn(world);
	assert_int_equal(world->added, 1);
	fake_device_remove(GUEST, 0);
	TURN_UNTIL(world, fake_store_watches(fake_front_path(GUEST, 0, "state")) == 0);
	fake_device_add(GUEST, 0);
	TURN_UNTIL(world, world->added == 2);
	assert_int_equal(world->removed, 1);
}

static void test_toolstack_that_removes_a_dropped_device_is_answered(void **state)
{
	struct world *world = *state;

	add_device(world);
	drop(world);
	TURN_UNTIL(world, world->removed == 1);
	assert_true(back_state_is("1"));
	fake_device_back(GUEST, 0, "state", "5");
	turn(world);
	assert_true(back_state_is("5"));
	fake_device_back(GUEST, 0, "online", "0");
	TURN_UNTIL(world, back_state_is("6"));
	turn(world);
	assert_int_equal(fake_store_commits(), 1);
}

static void test_device_dropped_while_the_toolstack_waits_is_answered_at_once(void **state)
{
	struct world *world = *state;

	add_device(world);
	fake_device_back(GUEST, 0, "online", "0");
	fake_device_back(GUEST, 0, "state", "5");
	TURN_UNTIL(world, !world->device->online);
	turn(world);
	drop(world);
	TURN_UNTIL(world, back_state_is("6"));
}

static void test_device_that_goes_while_it_is_dropped_is_told_once(void **state)
{
	struct world *world = *state;

	add_device(world);
	fake_device_remove(GUEST, 0);
	store_sleep(QUIET_MS); /* both are due in the same turn */
	drop(world);
	turn(world);
	assert_int_equal(world->removed, 1);
}

/* --- trouble --- */

static void test_trouble_with_xenstored_is_told_and_its_end(void **state)
{
	struct world *world = *state;
	struct device *device = add_device(world);

	fake_store_lose(true);
	TURN_UNTIL(world, world->troubles == 1);
	assert_int_equal(write_node(world, "state", "2"), 0);
	fake_store_come_back();
	TURN_UNTIL(world, world->comforts == 1);
	TURN_UNTIL(world, back_state_is("2"));
	assert_int_equal(world->troubles, 1);
	assert_int_equal(world->removed, 0);
	assert_ptr_equal(world->device, device);
}

/* --- the only one --- */

static void assert_refused(struct world *world, const char *what, const char *remedy)
{
	struct transport_host *second = NULL;
	struct fault fault = {.text = ""};

	assert_int_equal(xen_host_listen(&second, world->loop, &world->events, &fault), -EBUSY);
	assert_null(second);
	assert_non_null(strstr(fault.text, what));
	assert_non_null(strstr(fault.text, remedy));
}

static void test_start_beside_the_kernels_backend_is_refused_with_a_remedy(void **state)
{
	struct world *world = *state;

	kernel_backend_is_there = true;
	assert_refused(world, "the kernel's own PV Calls backend", "modprobe -r pvcalls-back");
	assert_refused(world, KERNEL_BACKEND, "CONFIG_XEN_PVCALLS_BACKEND");
	assert_int_equal(fake_store_connections(), 0);
	kernel_backend_is_there = false;
	assert_int_equal(xen_host_listen(&world->host, world->loop, &world->events, NULL), 0);
}

static void test_start_beside_another_daemon_is_refused_until_that_stops(void **state)
{
	struct world *world = *state;

	assert_refused(world, "another pvcallsd", "stop it first");
	assert_int_equal(fake_store_connections(), 1);
	add_device(world); /* the first one is not disturbed */
	world->host->ops->stop(world->host);
	world->host = NULL;
	world->device = NULL;
	assert_int_equal(xen_host_listen(&world->host, world->loop, &world->events, NULL), 0);
	TURN_UNTIL(world, world->added == 2);
}

static void test_start_that_failed_does_not_stand_in_the_way_of_the_next(void **state)
{
	struct world *world = *state;
	struct fault fault;

	fake_store_lose(true);
	assert_int_equal(xen_host_listen(&world->host, world->loop, &world->events, &fault),
			 -ECONNREFUSED);
	assert_non_null(strstr(fault.text, "xenstored can't be reached"));
	fake_store_come_back();
	assert_int_equal(xen_host_listen(&world->host, world->loop, &world->events, &fault), 0);
}

#define IDLE(name)    cmocka_unit_test_setup_teardown(name, make_world, end_world)
#define SERVING(name) cmocka_unit_test_setup_teardown(name, listen_world, end_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVING(test_device_is_told_of_with_its_guest),
		SERVING(test_name_that_is_not_plain_is_replaced),
		SERVING(test_changes_of_both_sides_are_told),
		SERVING(test_write_from_within_the_news_arrives),
		SERVING(test_device_that_goes_is_told_once),
		SERVING(test_replaced_device_goes_and_another_comes),
		SERVING(test_dropped_device_is_silent_until_it_is_another_one),
		SERVING(test_toolstack_that_removes_a_dropped_device_is_answered),
		SERVING(test_device_dropped_while_the_toolstack_waits_is_answered_at_once),
		SERVING(test_device_that_goes_while_it_is_dropped_is_told_once),
		SERVING(test_trouble_with_xenstored_is_told_and_its_end),
		IDLE(test_start_beside_the_kernels_backend_is_refused_with_a_remedy),
		SERVING(test_start_beside_another_daemon_is_refused_until_that_stops),
		IDLE(test_start_that_failed_does_not_stand_in_the_way_of_the_next),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
