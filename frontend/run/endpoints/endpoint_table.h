/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of endpoints, and how large their rings are. */
#ifndef ENDPOINTS_ENDPOINT_TABLE_H
#define ENDPOINTS_ENDPOINT_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include <pvcalls/frontend.h>

#include "run/endpoints/endpoint.h"
#include "run/program/trap.h"

#define ENDPOINT_BUCKETS 4096u
#define FAILED_KEPT      256u /* failed endpoints that still know why */
#define ENDED_KEPT       256u /* ended ones that still know their names */
#define ACCEPT_AHEAD     4u   /* connections that a listener accepts before the program asks */
#define ACCEPT_AHEAD_ALL 32u  /* of all listeners, if each has one at least */

/* The sockets of all processes of COMMAND, and what they are made of. */
struct endpoint_table {
	struct pvcalls_front *front;
	int epoll_fd;
	struct trap trap;
	uint32_t order; /* of every ring; 0: by number of endpoints */
	uint32_t streams;
	uint32_t promised; /* rings of ACCEPTs in flight and of connects under way */
	uint32_t listeners;
	uint32_t endpoints;
	struct endpoint *bucket[ENDPOINT_BUCKETS];
	struct endpoint *pump_first;
	struct endpoint *pump_last;
	struct endpoint *ended;
	struct endpoint *failed[FAILED_KEPT];
	uint32_t failed_next;
	struct endpoint *finished[ENDED_KEPT];
	uint32_t finished_next;
	uint32_t deadlines; /* of calls that wait */
	/* An endpoint was asked the own address of, and has it, or never will: answers who waits.
	 */
	pvcalls_front_done local_done;
	bool told_shortage;
	uint64_t retry_ms; /* when ACCEPTs that got no pages are tried again; 0: none */
};

/* Puts an endpoint, with its inode, into the table. */
void endpoint_table_add(struct endpoint_table *table, struct endpoint *endpoint);
/* Takes it out of the table, if it is there. */
void endpoint_table_remove(struct endpoint_table *table, struct endpoint *endpoint);
/* The endpoint whose program's end has this inode, or NULL. */
struct endpoint *endpoint_table_find(struct endpoint_table *table, uint64_t inode);

/* Whether error means that pages or event channels are short; says so once, with the remedy. */
bool endpoint_table_is_short(struct endpoint_table *table, int error);
/* Connections that a listener may accept before the program asks. */
uint32_t endpoint_table_ahead(const struct endpoint_table *table);
/* The ring order for one more connection. */
uint32_t endpoint_table_order(const struct endpoint_table *table);

#endif
