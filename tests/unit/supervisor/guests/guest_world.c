/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "guest_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

int guest_world_setup(void **state)
{
	struct guest_world *world = calloc(1, sizeof(*world));
	static char self[512];
	struct fault fault;

	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	fake_auditd_forget();
	world->loop = loop_create();
	log_init(&world->log, "test", LOG_LEVEL_ERROR);
	world->log.fd = -1;
	assert_int_equal(config_parse(&world->config, "-", "", 0, &fault), 0);
	world->config.uids_count = 3;
	world->engines = (struct engine_processes){
		.loop = world->loop,
		.log = &world->log,
		.config = &world->config,
		.program = self,
		.plugin_dir = "/nowhere",
		.log_fd = -1,
	};
	assert_int_equal(engine_processes_open(&world->engines), 0);
	world->guests = (struct guests){
		.loop = world->loop,
		.log = &world->log,
		.engines = &world->engines,
		.config = &world->config,
		.policies = &world->policies,
		.runtime_dir = "/nowhere",
	};
	guests_events(&world->guests, &world->events);
	*state = world;
	return 0;
}

int guest_world_teardown(void **state)
{
	struct guest_world *world = *state;

	engine_processes_close(&world->engines);
	guests_free(&world->guests);
	config_clear(&world->config);
	loop_destroy(world->loop);
	while (waitpid(-1, NULL, 0) > 0)
		;
	free(world);
	return 0;
}

void guest_world_turn_for(struct guest_world *world, uint64_t ns)
{
	uint64_t end_ns = clock_monotonic_ns() + ns;
	uint64_t now_ns;

	while ((now_ns = clock_monotonic_ns()) < end_ns)
		loop_turn(world->loop, end_ns - now_ns);
}

void guest_world_await(struct guest_world *world, struct fake_device *fake, const char *written)
{
	uint64_t end_ns = clock_monotonic_ns() + 10 * NS_PER_S;

	while (strcmp(fake->written, written) != 0) {
		if (clock_monotonic_ns() > end_ns)
			fail_msg("written '%s', expected '%s'", fake->written, written);
		loop_turn(world->loop, 10 * NS_PER_MS);
	}
}

void guest_world_await_no_engines(struct guest_world *world)
{
	uint64_t end_ns = clock_monotonic_ns() + 10 * NS_PER_S;

	while (world->engines.list) {
		assert_true(clock_monotonic_ns() < end_ns);
		loop_turn(world->loop, 10 * NS_PER_MS);
	}
	assert_int_equal(fake_auditd_queues(), 0);
}

void guest_world_add(struct guest_world *world, struct fake_device *fake, const char *name)
{
	fake_device_init(fake, name);
	world->events.added(world->events.context, &fake->device);
}

void guest_world_frontend(struct guest_world *world, struct fake_device *fake,
			  enum xenbus_state state)
{
	fake->device.frontend = state;
	world->events.changed(world->events.context, &fake->device);
}

void guest_world_remove_device(struct guest_world *world, struct fake_device *fake)
{
	world->events.removed(world->events.context, &fake->device);
	assert_null(fake->device.owner);
}
