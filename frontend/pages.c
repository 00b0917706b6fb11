/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pages.h"

#include <errno.h>
#include <stdlib.h>

#define BLOCK (1u << PAGES_ORDER_MAX)

int pages_init(struct pages *pages, uint32_t count)
{
	*pages = (struct pages){.count = count};
	pages->next = calloc(count, sizeof(*pages->next));
	pages->previous = calloc(count, sizeof(*pages->previous));
	pages->state = calloc(count, sizeof(*pages->state));
	if (!pages->next || !pages->previous || !pages->state) {
		pages_destroy(pages);
		return -ENOMEM;
	}
	return 0;
}

void pages_destroy(struct pages *pages)
{
	free(pages->next);
	free(pages->previous);
	free(pages->state);
	*pages = (struct pages){0};
}

static void link_block(struct pages *pages, uint32_t page, uint32_t order)
{
	uint32_t first = pages->free[order];

	pages->state[page] = (uint8_t)(1 + order);
	pages->next[page] = first;
	pages->previous[page] = 0;
	if (first)
		pages->previous[first] = page;
	pages->free[order] = page;
}

static void unlink_block(struct pages *pages, uint32_t page, uint32_t order)
{
	uint32_t next = pages->next[page];
	uint32_t previous = pages->previous[page];

	pages->state[page] = 0;
	if (next)
		pages->previous[next] = previous;
	if (previous)
		pages->next[previous] = next;
	else
		pages->free[order] = next;
}

/* Opens a block that was never used; the very first one lacks page 0. False: none left. */
static int open_block(struct pages *pages)
{
	uint32_t order;

	if (pages->count - pages->fresh < BLOCK)
		return 0;
	if (pages->fresh == 0)
		for (order = 0; order < PAGES_ORDER_MAX; order++)
			link_block(pages, 1u << order, order);
	else
		link_block(pages, pages->fresh, PAGES_ORDER_MAX);
	pages->fresh += BLOCK;
	return 1;
}

uint32_t pages_take(struct pages *pages, uint32_t order)
{
	uint32_t have;
	uint32_t page;

	do {
		for (have = order; have <= PAGES_ORDER_MAX; have++)
			if (pages->free[have])
				break;
	} while (have > PAGES_ORDER_MAX && open_block(pages));
	if (have > PAGES_ORDER_MAX)
		return 0;
	page = pages->free[have];
	unlink_block(pages, page, have);
	while (have > order) {
		have--;
		link_block(pages, page + (1u << have), have);
	}
	return page;
}

void pages_give(struct pages *pages, uint32_t page, uint32_t order)
{
	for (; order < PAGES_ORDER_MAX; order++) {
		uint32_t buddy = page ^ (1u << order);

		if (pages->state[buddy] != 1 + order)
			break;
		unlink_block(pages, buddy, order);
		page &= ~(1u << order);
	}
	link_block(pages, page, order);
}
