/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The shared pages, byte by byte: xen/io/ring.h and xen/io/pvcalls.h of Xen's public headers.
 *
 * The specification's picture puts ring_order at 76; the header and every implementation put it at
 * 128, and so does this file. layout.c asserts each offset.
 */
#ifndef RING_LAYOUT_H
#define RING_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "ring/indexes_page.h"

#define RING_PAGE_SIZE 4096u
#define COMMAND_SLOTS  32u /* requests that fit the command page */

#define WIRE_SOCKET     0u /* these are in wire_request.cmd */
#define WIRE_CONNECT    1u
#define WIRE_RELEASE    2u
#define WIRE_BIND       3u
#define WIRE_LISTEN     4u
#define WIRE_ACCEPT     5u
#define WIRE_POLL       6u
#define WIRE_ADDR_BYTES 28u

/*
 * feature-park: a call that waits is answered -EINPROGRESS, with a ticket in `pad`, and has no slot
 * any more; its outcome is the answer to a COLLECT, with that ticket in `id` and the rest as in the
 * answer that it would have had. No two parked calls have tickets that are equal modulo PARKED_MAX,
 * and a ticket comes again only after a million others.
 */
#define WIRE_COLLECT 0x100u
#define PARKED_MAX   4096u

struct wire_request { /* what the guest asks */
	uint32_t req_id;
	uint32_t cmd;
	uint64_t id;
	union {
		struct {
			uint32_t domain;
			uint32_t type;
			uint32_t protocol;
			uint32_t pad;
		} socket;
		struct {
			uint8_t addr[WIRE_ADDR_BYTES];
			uint32_t len;
			uint32_t flags;
			uint32_t ref;
			uint32_t evtchn;
			uint32_t pad;
		} connect;
		struct {
			uint8_t reuse;
			uint8_t pad[7];
		} release;
		struct {
			uint8_t addr[WIRE_ADDR_BYTES];
			uint32_t len;
		} bind;
		struct {
			uint32_t backlog;
			uint32_t pad;
		} listen;
		struct {
			uint64_t id_new;
			uint32_t ref;
			uint32_t evtchn;
		} accept;
		uint8_t bytes[48];
	} u;
};

struct wire_response { /* the answer, in the slot of a request that was taken */
	uint32_t req_id;
	uint32_t cmd;
	int32_t ret;
	uint32_t pad;
	uint64_t id;
};

union wire_slot {
	struct wire_request request;
	struct wire_response response;
};

struct command_page { /* the ring of calls */
	uint32_t req_prod;
	uint32_t req_event;
	uint32_t rsp_prod;
	uint32_t rsp_event;
	uint8_t pad[48];
	union wire_slot slot[COMMAND_SLOTS];
};

#endif
