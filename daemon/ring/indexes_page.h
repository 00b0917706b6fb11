/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The page that the guest shares for each stream: struct pvcalls_data_intf of xen/io/pvcalls.h, and
 * what we add in its padding. layout.c asserts each offset.
 */
#ifndef RING_INDEXES_PAGE_H
#define RING_INDEXES_PAGE_H

#include <stdint.h>

#define DATA_ORDER_MIN         1u
#define DATA_ORDER_MAX         9u /* 512 references are the most that fit the indexes page */
#define DATA_REFS_MAX          (1u << DATA_ORDER_MAX)
#define DATA_RING_BYTES(order) (1u << ((order) + 11u)) /* of one direction */

/*
 * Our extensions, in unused padding, each only if both sides wrote its node = 1. feature-names: the
 * socket's own and its peer's address and port in network order; the responses to BIND and LISTEN
 * carry the bound port in `pad` (host order). feature-names-on-demand, which needs feature-names:
 * the socket's own address is there once local_known is not 0, which is stored after it; where it
 * is not there from the start, it is put there for local_wanted other than 0, followed by an event,
 * and answered with an event. feature-shutdown: out_end other than 0, stored after the last
 * out_prod and followed by an event, says that the guest writes no more.
 */
struct wire_names {
	uint32_t local_addr;
	uint32_t peer_addr;
	uint16_t local_port;
	uint16_t peer_port;
};

struct indexes_page { /* a socket's data ring; ref names the pages of both directions */
	uint32_t in_cons;
	uint32_t in_prod;
	int32_t in_error;
	struct wire_names names;
	uint32_t local_known;
	uint8_t pad1[36];
	uint32_t out_cons;
	uint32_t out_prod;
	int32_t out_error;
	uint32_t out_end;
	uint32_t local_wanted;
	uint8_t pad2[44];
	uint32_t ring_order;
	uint32_t ref[DATA_REFS_MAX];
};

#endif
