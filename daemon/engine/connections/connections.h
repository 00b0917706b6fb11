/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All connections of one guest, and what they share: the transport that maps their pages, the loop
 * that watches their sockets, and the lists that say which of them have work.
 */
#ifndef ENGINE_CONNECTIONS_CONNECTIONS_H
#define ENGINE_CONNECTIONS_CONNECTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"
#include "base/loop.h"
#include "engine/connections/mapping_cache.h"
#include "engine/connections/protocol_violation.h"
#include "ipc/recovery_log.h"
#include "transport/transport.h"

struct connection;

#define CONNECTIONS_POLLED_MAX   64u /* looked at without an event */
#define CONNECTIONS_POLLED_TURNS 64u /* and for so many turns without work */

#define CONNECTIONS_BYTES_PER_TURN (256u << 10) /* of one stream in one direction */

/* What connections did so far; who wants a period's takes the difference. */
struct traffic {
	uint64_t given;    /* bytes written to peers */
	uint64_t taken;    /* bytes read from peers */
	uint64_t connects; /* that succeeded */
};

/* Zeroed, then connections_init(). */
struct connections {
	struct loop *loop;
	const struct log *log;
	struct transport *transport;
	struct recovery_log *recovery_log;
	loop_fd_fn socket_ready; /* called with a socket's source when the socket has an event */

	/* Extensions of the protocol that were negotiated. */
	bool names;           /* the frontend reads struct wire_names */
	bool names_on_demand; /* it may set local_wanted of struct indexes_page */
	bool reuse;           /* RELEASE's `reuse` means what it says */
	bool half_close;      /* it may set out_end of struct indexes_page */

	bool read_local; /* a setting: streams' own addresses are read at once, see local_name.h */

	struct connection *by_port[TRANSPORT_PORTS];
	struct connection *run_first; /* with work, served round robin */
	struct connection *run_last;
	struct connection *unsettled_first; /* oldest first */
	struct connection *unsettled_last;
	struct connection *polled[CONNECTIONS_POLLED_MAX];
	uint32_t polled_count;
	struct mapping_cache mapping_cache;
	struct connection *spare; /* freed ones, kept for the next */

	struct protocol_violation violation;
	struct traffic traffic;
	uint64_t turn;   /* turns of the engine so far */
	uint64_t sleeps; /* calls of ours in which the kernel may have put the thread to sleep
			  */
	bool peers_told; /* the turn gave a peer something to do */
};

/* Serves connections by this loop; socket_ready, log and recovery_log as in the struct, borrowed.
 */
void connections_init(struct connections *connections, struct loop *loop, const struct log *log,
		      struct recovery_log *recovery_log, loop_fd_fn socket_ready);
/* Frees what is kept for the next connection. No connection may be mapped any more. */
void connections_free(struct connections *connections);

/* Unmaps everything in the mapping cache. */
void connections_uncache(struct connections *connections);
/* Unmaps what has been in the mapping cache for too long; to be called now and then. */
void connections_sweep(struct connections *connections);

#endif
