/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest's end of the command ring (FRONT_RING of xen/io/ring.h). */
#ifndef LIBRARY_COMMAND_FRONT_H
#define LIBRARY_COMMAND_FRONT_H

#include <stdbool.h>
#include <stdint.h>

#include "ring/layout.h"

struct command_front {
	struct command_page *page; /* shared */
	uint32_t req_prod;         /* requests written */
	uint32_t req_published;    /* requests the backend was shown */
	uint32_t rsp_cons;         /* responses taken */
};

/* Starts on a page (SHARED_RING_INIT, FRONT_RING_INIT); the page is borrowed. */
void command_front_init(struct command_front *ring, struct command_page *page);
/* Whether every slot is taken by a request without response. */
bool command_front_full(const struct command_front *ring);
/* Writes a request; the ring must not be full. The backend sees it after publish. */
void command_front_push(struct command_front *ring, const struct wire_request *request);
/* Shows all requests to the backend; returns whether it wants an event for them. */
bool command_front_publish(struct command_front *ring);
/* Copies the next response. 1, 0 if there is none, -EPROTO for more responses than requests. */
int command_front_take(struct command_front *ring, struct wire_response *response);
/* Whether there is a response; one load. */
bool command_front_waiting(const struct command_front *ring);
/* Asks for an event with the next response; true if there is one already. */
bool command_front_final_check(struct command_front *ring);

#endif
