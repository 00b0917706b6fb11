/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which pages of a numbered range are in use: a buddy allocator whose bookkeeping is apart from the
 * pages, because the backend can write to those.
 */
#ifndef TRANSPORTS_PAGE_ALLOCATOR_H
#define TRANSPORTS_PAGE_ALLOCATOR_H

#include <stdint.h>

#define PAGES_ORDER_MAX 9u

struct page_allocator {
	uint32_t count;                     /* pages of the range */
	uint32_t fresh;                     /* first page that was never handed out */
	uint32_t free[PAGES_ORDER_MAX + 1]; /* first free block of each order, 0: none */
	uint32_t *next;
	uint32_t *previous;
	uint8_t *state; /* of a free block's first page: 1 + order; otherwise 0 */
};

/* Starts with every page but page 0 (no grant is 0) free. 0 or -ENOMEM. */
int page_allocator_init(struct page_allocator *pages, uint32_t count);
void page_allocator_destroy(struct page_allocator *pages);
/* Returns the first of 1 << order consecutive pages, aligned to their number; 0: none left. */
uint32_t page_allocator_take(struct page_allocator *pages, uint32_t order);
void page_allocator_give(struct page_allocator *pages, uint32_t page, uint32_t order);

#endif
