/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "holds.h"

int32_t holds_open(struct holds *holds, const struct pvcalls_host *host)
{
	uint32_t i;

	holds->list = host->alloc(host, HOLDS_MAX * sizeof(*holds->list));
	holds->chains = host->alloc(host, HOLDS_MAX * sizeof(*holds->chains));
	if (!holds->list || !holds->chains)
		return -1;
	for (i = 0; i < HOLDS_MAX; i++)
		holds->list[i].next = i + 1 < HOLDS_MAX ? i + 2 : 0;
	holds->free = 1;
	return 0;
}

/* Socket numbers count upwards: their low bits spread them. */
static uint32_t *holds_chain(struct holds *holds, uint64_t socket)
{
	return &holds->chains[socket % HOLDS_MAX];
}

struct hold *holds_add(struct holds *holds, uint64_t socket)
{
	uint32_t *chain = holds_chain(holds, socket);
	uint32_t number = holds->free;
	struct hold *hold;

	if (!number)
		return NULL;
	hold = &holds->list[number - 1];
	holds->free = hold->next;
	*hold = (struct hold){.socket = socket, .next = *chain};
	*chain = number;
	return hold;
}

bool holds_take(struct holds *holds, uint64_t socket, uint64_t serial, struct hold *hold)
{
	uint32_t *link = holds_chain(holds, socket);
	struct hold *found;
	uint32_t number;

	for (number = *link; number; number = *link) {
		found = &holds->list[number - 1];
		if (found->socket == socket && (!serial || found->serial == serial))
			break;
		link = &found->next;
	}
	if (!number)
		return false;
	*hold = *found;
	*link = found->next;
	found->next = holds->free;
	found->socket = 0;
	holds->free = number;
	return true;
}
