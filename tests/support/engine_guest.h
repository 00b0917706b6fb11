/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An engine in this process, with a guest whose memory and events the test writes, a writer of the
 * trail that the test plays, and real sockets. Shared by unit tests and fuzzing. Failures of the
 * set-up abort.
 */
#ifndef ENGINE_GUEST_H
#define ENGINE_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "audit/queue/drain.h"
#include "engine/lifecycle/engine.h"
#include "engine/lifecycle/engine_run.h"
#include "transport/local_wire.h"

#define GUEST_PAGES        128u
#define GUEST_COMMAND_PORT 1u
#define GUEST_SOCKETS      16u
#define GUEST_RECORDS      64u /* records that are kept of those stored */

struct engine_guest {
	struct engine *engine;
	struct drain *drain;
	uint8_t *memory;
	struct local_event_page *events;
	int supervisor; /* the other end of the engine's control socket */
	uint32_t req_prod;
	uint32_t rsp_cons;
	bool parks; /* the guest has feature-park */
	uint32_t parked_count;
	uint32_t parked_ever;
	uint32_t collects;                          /* in the ring */
	bool keeps_no_collects;                     /* it sends none for calls that are parked */
	struct wire_response parked[PARKED_MAX];    /* what they were answered when they were */
	struct audit_record records[GUEST_RECORDS]; /* the last that were stored */
	uint32_t record_count;
};

/* Opens an engine with this policy, which may use the plugins of tests/support/plugins. */
struct engine_guest *engine_guest_open(const char *policy_text, uint32_t max_sockets);
void engine_guest_close(struct engine_guest *guest);
/* Replaces its policy, as a reload does. */
void engine_guest_policy(struct engine_guest *guest, const char *text);

/* Zeroes the guest's memory and events and attaches its command ring (page 0), with all extensions
 * of the protocol or with none. */
void engine_guest_attach(struct engine_guest *guest, bool extensions);
/* The same with these extensions; of features nothing else is looked at. */
void engine_guest_attach_with(struct engine_guest *guest,
			      const struct engine_attach_args *features);

struct command_page *guest_command_page(struct engine_guest *guest);
/* A page of the guest, by its grant reference. */
void *guest_page(struct engine_guest *guest, uint32_t ref);
/* Makes page ref an indexes page whose data pages are first_data and the following. */
struct indexes_page *guest_make_ring(struct engine_guest *guest, uint32_t ref, uint32_t order,
				     uint32_t first_data);

/* Puts a request on the command ring and rings its port. */
void guest_push(struct engine_guest *guest, const struct wire_request *request);
void guest_ring(struct engine_guest *guest, uint32_t port);
/*
 * Takes the next response; false if there is none. Of parked calls only the outcome is seen, and
 * COLLECTs for them are in the ring.
 */
bool guest_collect(struct engine_guest *guest, struct wire_response *response);

/* Calls in the ring that the engine has not taken. */
uint32_t guest_untaken(const struct engine_guest *guest);

/* Lets the engine work until it has nothing more to do. */
void engine_guest_turn(struct engine_guest *guest);
/* Stores what the engine recorded, into records. Returns how many. */
uint32_t engine_guest_store(struct engine_guest *guest);

#endif
