/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sockets that end without a RELEASE of the guest: killed, or with the guest itself. */
#ifndef ENGINE_CALLS_CLOSE_SOCKET_H
#define ENGINE_CALLS_CLOSE_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pvcalls/plugin.h>

struct calls;
struct guest_socket;

/* What the record of such a socket's release will say. */
struct closed_socket {
	uint64_t number;
	uint64_t parent;
	struct pvcalls_endpoint local;
	struct pvcalls_endpoint peer;
	uint64_t bytes_in;
	uint64_t bytes_out;
	uint64_t bytes_over;
	uint64_t age_ns;
	uint32_t reason; /* enum audit_close */
};

/*
 * Closes a socket, which is not SOCKET_KILLED, for a reason (enum audit_close): ends the calls on
 * it, tells the guest through its ring and unmaps that. Returns true with *closed to be recorded,
 * or false where the record of an ended call tells of it already. What is recorded stays in the
 * table by its name, so that the guest's own RELEASE of it, which ends nothing, is not recorded as
 * another.
 */
bool close_socket(struct calls *calls, struct guest_socket *socket, uint32_t reason,
		  struct closed_socket *closed);
/* Closes all sockets of the guest so, and records that. Nothing is left to be served. */
void close_all_sockets(struct calls *calls, uint32_t reason);
/*
 * Records closed sockets, now, without waiting: what the trail's queue has no slot for is kept
 * until it has (serve_kept()).
 */
void closed_sockets_record(struct calls *calls, const struct closed_socket *closed, size_t count);

#endif
