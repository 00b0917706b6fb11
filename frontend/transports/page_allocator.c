/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "transports/page_allocator.h"

#include <errno.h>
#include <stdlib.h>

#include "base/assert.h"

#define BLOCK (1u << PAGES_ORDER_MAX)

int page_allocator_init(struct page_allocator *pages, uint32_t count)
{
	*pages = (struct page_allocator){.count = count};
	pages->next = calloc(count, sizeof(*pages->next));
	pages->previous = calloc(count, sizeof(*pages->previous));
	pages->state = calloc(count, sizeof(*pages->state));
	if (!pages->next || !pages->previous || !pages->state) {
		page_allocator_destroy(pages);
		return -ENOMEM;
	}
	return 0;
}

void page_allocator_destroy(struct page_allocator *pages)
{
	free(pages->next);
	free(pages->previous);
	free(pages->state);
	*pages = (struct page_allocator){0};
}

static void page_allocator_link_block(struct page_allocator *pages, uint32_t page, uint32_t order)
{
	uint32_t first = pages->free[order];

	pages->state[page] = (uint8_t)(1 + order);
	pages->next[page] = first;
	pages->previous[page] = 0;
	if (first)
		pages->previous[first] = page;
	pages->free[order] = page;
}

static void page_allocator_unlink_block(struct page_allocator *pages, uint32_t page, uint32_t order)
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
static int page_allocator_open_block(struct page_allocator *pages)
{
	uint32_t order;

	if (pages->count - pages->fresh < BLOCK)
		return 0;
	if (pages->fresh == 0)
		for (order = 0; order < PAGES_ORDER_MAX; order++)
			page_allocator_link_block(pages, 1u << order, order);
	else
		page_allocator_link_block(pages, pages->fresh, PAGES_ORDER_MAX);
	pages->fresh += BLOCK;
	return 1;
}

uint32_t page_allocator_take(struct page_allocator *pages, uint32_t order)
{
	uint32_t have;
	uint32_t page;

	ASSERT(order <= PAGES_ORDER_MAX);
	do {
		for (have = order; have <= PAGES_ORDER_MAX; have++)
			if (pages->free[have])
				break;
	} while (have > PAGES_ORDER_MAX && page_allocator_open_block(pages));
	if (have > PAGES_ORDER_MAX)
		return 0;
	page = pages->free[have];
	page_allocator_unlink_block(pages, page, have);
	while (have > order) {
		have--;
		page_allocator_link_block(pages, page + (1u << have), have);
	}
	return page;
}

void page_allocator_give(struct page_allocator *pages, uint32_t page, uint32_t order)
{
	ASSERT(order <= PAGES_ORDER_MAX && page % (1u << order) == 0);
	ASSERT(page > 0 && page < pages->fresh && pages->state[page] == 0);
	for (; order < PAGES_ORDER_MAX; order++) {
		uint32_t buddy = page ^ (1u << order);

		if (pages->state[buddy] != 1 + order)
			break;
		page_allocator_unlink_block(pages, buddy, order);
		page &= ~(1u << order);
	}
	page_allocator_link_block(pages, page, order);
}
