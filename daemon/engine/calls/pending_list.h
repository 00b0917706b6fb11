/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lists of pending calls, oldest first: a ring of links whose first one the owner points to. A call
 * has a link for each kind of list that it can be in.
 */
#ifndef ENGINE_CALLS_PENDING_LIST_H
#define ENGINE_CALLS_PENDING_LIST_H

#include <stddef.h>

#include "base/assert.h"

struct pending_call;

struct pending_link {
	struct pending_link *next;
	struct pending_link *previous;
	struct pending_link **list; /* that it is in; NULL: none */
	struct pending_call *call;
};

/* Puts a link, which is in no list, behind all others. */
static inline void pending_list_add(struct pending_link **list, struct pending_link *link)
{
	struct pending_link *first = *list;

	ASSERT(!link->list && link->call);
	link->list = list;
	if (!first) {
		link->next = link->previous = link;
		*list = link;
		return;
	}
	link->next = first;
	link->previous = first->previous;
	first->previous->next = link;
	first->previous = link;
}

/* Takes a link out of its list, if it is in one. */
static inline void pending_list_remove(struct pending_link *link)
{
	struct pending_link **list = link->list;

	if (!list)
		return;
	ASSERT(*list && link->next->previous == link && link->previous->next == link);
	link->next->previous = link->previous;
	link->previous->next = link->next;
	if (*list == link)
		*list = link->next == link ? NULL : link->next;
	link->next = link->previous = NULL;
	link->list = NULL;
}

/* The one behind this one in its list, NULL: it is the last. */
static inline struct pending_link *pending_list_next(const struct pending_link *link)
{
	ASSERT(link->list);
	return link->next == *link->list ? NULL : link->next;
}

#endif
