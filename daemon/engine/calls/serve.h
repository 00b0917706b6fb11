/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command ring's requests, from the ring to their responses. */
#ifndef ENGINE_CALLS_SERVE_H
#define ENGINE_CALLS_SERVE_H

#include <stdbool.h>
#include <stdint.h>

struct calls;
struct connections;
struct guest_socket;
struct log;
struct loop;
struct loop_source;
struct pvcalls_guest;
struct recovery_log;

/*
 * Makes *calls (zeroed) ready, and *connections for its sockets, whose events it takes. All of the
 * arguments are borrowed. Returns 0 or -ENOMEM.
 */
int serve_init(struct calls *calls, struct connections *connections, struct loop *loop,
	       const struct log *log, struct recovery_log *recovery_log,
	       const struct pvcalls_guest *guest);

/* Takes and serves at most CALLS_PER_TURN requests; sets ring_due if there may be more. */
void serve_ring(struct calls *calls);
/*
 * Collects slots of the trail's queue that were committed, and gives the answers that waited for
 * that. Returns how many.
 */
uint32_t serve_reap(struct calls *calls);
/* As serve_reap(), where somebody waits for slots; then starved calls go on, too. */
void serve_commits(struct calls *calls);
/*
 * Hands over records that the trail's queue had no slot for, as far as it has now. Returns whether
 * there are some left; then the writer wakes the engine when it has given slots back.
 */
bool serve_kept(struct calls *calls);
/* Goes on with ACCEPTs of listeners that were left in the last turn while peers waited. */
void serve_left_accepts(struct calls *calls);
/* Goes on with releases that wait, of connections whose bytes moved in this turn. */
void serve_releases(struct calls *calls);

/*
 * Ends every call that holds a socket, waits at it or has it reserved, with one response and one
 * record each; close_reason (enum audit_close) is why, for the record of a RELEASE among them,
 * which takes the socket with it.
 */
void serve_cancel(struct calls *calls, struct guest_socket *socket, uint32_t close_reason);
/* Ends every call of the guest so. */
void serve_cancel_all(struct calls *calls, uint32_t close_reason);

#endif
