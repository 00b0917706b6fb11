/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The backend's end of the command ring (xen/io/ring.h with the names of its macros in brackets).
 *
 * The page is the guest's as much as ours and may change at any moment. Our indexes live here, in
 * private memory; what we publish is never read back. The guest's producer index is loaded once
 * each time it is needed, each request is copied once.
 */
#ifndef RING_COMMAND_RING_H
#define RING_COMMAND_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "ring/layout.h"

struct command_ring {
	struct command_page *page; /* shared; NULL while not attached */
	uint32_t req_cons;         /* requests taken */
	uint32_t rsp_prod;         /* responses written */
	uint32_t rsp_published;    /* responses the guest was shown */
};

/* Starts serving a page whose guest has initialised it (BACK_RING_INIT). The page is borrowed. */
void command_ring_attach(struct command_ring *ring, struct command_page *page);
/*
 * Goes on with an attached ring after the last response that was shown, as BACK_RING_ATTACH does;
 * the indexes are the guest's word until a caller that knows better sets them.
 */
void command_ring_take_over(struct command_ring *ring);

/*
 * Copies the next request into *request. Returns 1, 0 if there is none, or -EPROTO if the guest
 * claims more requests than fit (RING_REQUEST_PROD_OVERFLOW): then it must be cut off.
 */
int command_ring_take(struct command_ring *ring, struct wire_request *request);

/* Whether there is a request that was not taken, or an impossible index. One load. */
bool command_ring_waiting(const struct command_ring *ring);

/*
 * Asks for an event with the next request, then checks once more (RING_FINAL_CHECK_FOR_REQUESTS).
 * Returns true if there is one already: then no event may come and the caller must take it.
 */
bool command_ring_final_check(struct command_ring *ring);

/*
 * Writes one response: there must be a request that was taken and not answered. The guest sees it
 * after command_ring_publish().
 */
void command_ring_push(struct command_ring *ring, const struct wire_response *response);

/*
 * Shows the guest all responses. Returns whether it wants an event for them
 * (RING_PUSH_RESPONSES_AND_CHECK_NOTIFY).
 */
bool command_ring_publish(struct command_ring *ring);

#endif
