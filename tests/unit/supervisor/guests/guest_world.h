/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guests with a transport and an audit writer that are not there, and with real processes as
 * engines: the test program itself, called "pvcalls-engine".
 */
#ifndef TESTS_SUPERVISOR_GUEST_WORLD_H
#define TESTS_SUPERVISOR_GUEST_WORLD_H

#include "fake_auditd.h"
#include "fake_device.h"
#include "supervisor/guests/guests.h"

struct guest_world {
	struct loop *loop;
	struct log log;
	struct config config;
	struct source_list policies;
	struct engine_processes engines;
	struct guests guests;
	struct device_events events;
	struct fake_device fake;
};

/* For cmocka: *state is a struct guest_world without guests. */
int guest_world_setup(void **state);
int guest_world_teardown(void **state);

/* Turns the loop for so long. */
void guest_world_turn_for(struct guest_world *world, uint64_t ns);
/* Turns until the device was written so, for at most 10 s. */
void guest_world_await(struct guest_world *world, struct fake_device *fake, const char *written);
/* Turns until all engines have ended and their queues are finished, for at most 10 s. */
void guest_world_await_no_engines(struct guest_world *world);
/* A device appears; the frontend goes to a state; the device vanishes. */
void guest_world_add(struct guest_world *world, struct fake_device *fake, const char *name);
void guest_world_frontend(struct guest_world *world, struct fake_device *fake,
			  enum xenbus_state state);
void guest_world_remove_device(struct guest_world *world, struct fake_device *fake);

#endif
