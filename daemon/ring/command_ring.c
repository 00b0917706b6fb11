/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ring/command_ring.h"

#include <errno.h>

#include "base/assert.h"
#include "ring/shared.h"

#define SLOT(index) ((index) & (COMMAND_SLOTS - 1))

void command_ring_attach(struct command_ring *ring, struct command_page *page)
{
	ASSERT(page);
	ring->page = page;
	ring->req_cons = 0;
	ring->rsp_prod = 0;
	ring->rsp_published = 0;
}

void command_ring_take_over(struct command_ring *ring)
{
	ring->rsp_prod = shared_load(&ring->page->rsp_prod);
	ring->req_cons = ring->rsp_prod;
	ring->rsp_published = ring->rsp_prod;
}

int command_ring_take(struct command_ring *ring, struct wire_request *request)
{
	uint32_t req_prod = shared_load(&ring->page->req_prod);

	ASSERT(ring->req_cons - ring->rsp_prod <= COMMAND_SLOTS);
	/* Unanswered requests still own their slots, so they count too. */
	if (req_prod - ring->rsp_prod > COMMAND_SLOTS || req_prod - ring->req_cons > COMMAND_SLOTS)
		return -EPROTO;
	if (req_prod == ring->req_cons)
		return 0;
	shared_copy(request, &ring->page->slot[SLOT(ring->req_cons)], sizeof(*request));
	ring->req_cons++;
	return 1;
}

bool command_ring_waiting(const struct command_ring *ring)
{
	return shared_load(&ring->page->req_prod) != ring->req_cons;
}

bool command_ring_final_check(struct command_ring *ring)
{
	if (shared_load(&ring->page->req_prod) != ring->req_cons)
		return true;
	shared_store(&ring->page->req_event, ring->req_cons + 1);
	shared_fence();
	return shared_load(&ring->page->req_prod) != ring->req_cons;
}

void command_ring_push(struct command_ring *ring, const struct wire_response *response)
{
	ASSERT(ring->rsp_prod != ring->req_cons);
	shared_copy(&ring->page->slot[SLOT(ring->rsp_prod)], response, sizeof(*response));
	ring->rsp_prod++;
}

bool command_ring_publish(struct command_ring *ring)
{
	uint32_t shown = ring->rsp_prod - ring->rsp_published;

	if (!shown)
		return false;
	ring->rsp_published = ring->rsp_prod;
	shared_store(&ring->page->rsp_prod, ring->rsp_prod);
	shared_fence();
	return ring->rsp_prod - shared_load(&ring->page->rsp_event) < shown;
}
