/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "library/command_front.h"

#include <errno.h>
#include <string.h>

#include "base/assert.h"
#include "ring/shared.h"

#define SLOT(index) ((index) & (COMMAND_SLOTS - 1))

void command_front_init(struct command_front *ring, struct command_page *page)
{
	*ring = (struct command_front){.page = page};
	memset(page, 0, RING_PAGE_SIZE);
	page->req_event = 1;
	page->rsp_event = 1;
}

bool command_front_full(const struct command_front *ring)
{
	return ring->req_prod - ring->rsp_cons >= COMMAND_SLOTS;
}

void command_front_push(struct command_front *ring, const struct wire_request *request)
{
	ASSERT(!command_front_full(ring));
	memcpy(&ring->page->slot[SLOT(ring->req_prod)].request, request, sizeof(*request));
	ring->req_prod++;
}

bool command_front_publish(struct command_front *ring)
{
	uint32_t shown = ring->req_prod - ring->req_published;

	if (!shown)
		return false;
	ring->req_published = ring->req_prod;
	shared_store(&ring->page->req_prod, ring->req_prod);
	shared_fence();
	return ring->req_prod - shared_load(&ring->page->req_event) < shown;
}

int command_front_take(struct command_front *ring, struct wire_response *response)
{
	uint32_t rsp_prod = shared_load(&ring->page->rsp_prod);
	uint64_t words[sizeof(*response) / sizeof(uint64_t)];

	if (rsp_prod - ring->rsp_cons > ring->req_published - ring->rsp_cons)
		return -EPROTO;
	if (rsp_prod == ring->rsp_cons)
		return 0;
	shared_copy(words, &ring->page->slot[SLOT(ring->rsp_cons)], sizeof(words));
	memcpy(response, words, sizeof(words));
	ring->rsp_cons++;
	return 1;
}

bool command_front_waiting(const struct command_front *ring)
{
	return shared_load(&ring->page->rsp_prod) != ring->rsp_cons;
}

bool command_front_final_check(struct command_front *ring)
{
	shared_store(&ring->page->rsp_event, ring->rsp_cons + 1);
	shared_fence();
	return shared_load(&ring->page->rsp_prod) != ring->rsp_cons;
}
