/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The calls of one guest: its command ring, its sockets, its policy, its queue to the trail, and
 * the calls that are under way.
 *
 * Theory of operation. A call in flight is a struct pending_call (pending_call.h), from its place
 * in the ring to its response. serve.c takes it through its stages; the operations' own parts of
 * each stage are in call_*.c, behind a table (call_steps.h). There are as many pending calls as the
 * command ring has slots, and those that were parked (parking.h), PARKED_MAX together.
 */
#ifndef ENGINE_CALLS_CALLS_H
#define ENGINE_CALLS_CALLS_H

#include <stdbool.h>
#include <stdint.h>

#include "audit/queue/audit_queue.h"
#include "base/ticks.h"
#include "engine/calls/deferred_close.h"
#include "engine/calls/pending_call.h"
#include "engine/connections/connections.h"
#include "ring/command_ring.h"
#include "sock/lingering.h"
#include "sock/socket_table.h"

struct policy;
struct wall_clock; /* base/wall_clock.h */

#define CALLS_PER_TURN         32u /* requests taken before streams get their turn */
#define CALLS_PEERS_PER_TURN   32u /* peers taken from all backlogs, let in or refused, likewise */
#define CALLS_REFUSED_PER_TURN 8u  /* peers of these that one ACCEPT refuses */
#define CALLS_CONNECT_NS       30000000000u /* 30 s: a connect that takes longer fails */
#define CALLS_LOST_SLOTS_WARN  28u          /* ring slots lost to unanswered accepts */

/* Sums for status. */
struct calls_counters {
	uint64_t taken;
	uint64_t denied;
	uint64_t faults;
	uint64_t malformed;
	uint64_t cancelled; /* ended before they were done, with their socket or the guest */
	uint64_t bytes_in;  /* of closed sockets */
	uint64_t bytes_out;
	uint64_t stalls; /* times the ring was left unread because the trail's queue was full */
	uint32_t lost_slots;
};

/* Zeroed, then calls_init(); policy, queue and sockets follow before a ring is attached. */
struct calls {
	struct loop *loop;
	struct wall_clock *wall_clock; /* the time of day of calls and records; borrowed */
	const struct log *log;
	const struct pvcalls_guest *guest;
	struct connections *connections;
	struct recovery_log *recovery_log;
	struct policy *policy; /* owned; replaced between two turns */
	struct audit_queue *queue;
	struct socket_table *sockets;
	struct lingering *lingering;

	bool attached; /* the command ring is mapped and served */
	bool cancel;   /* the frontend takes answers to ACCEPTs in flight on a released listener */
	bool parks;    /* the frontend takes answers later than their slots, see parking.h */
	bool sync;     /* answers wait until the record is on disk */
	struct command_ring ring;
	uint32_t command_port; /* ours */
	bool ring_masked;      /* its events are masked */
	bool ring_due;         /* the ring may hold requests */
	bool responses_due;    /* responses were pushed and not shown yet */
	bool starved;          /* no audit slot was free: the ring is left unread */

	uint64_t serial; /* of the last call */
	struct ticks_scale scale;
	bool slept;      /* the thread has, and the policy was not told of that yet */
	uint64_t sleeps; /* connections->sleeps when the policy was last told of them */
	struct pending_table table;
	/* Lists of pending calls: each is in one of these ... */
	struct pending_link *in_slots; /* has a slot of the command ring */
	struct pending_link *parked;   /* has none; waits, or is done and waits for its commit */
	struct pending_link *untold;   /* has none; done, and there is no COLLECT to tell of it */
	/* ... and may be in one of these. */
	struct pending_link *storing;     /* its answer waits for the commit of its record */
	struct pending_link *draining;    /* a RELEASE that waits for its peer */
	uint32_t collects[COMMAND_SLOTS]; /* req_id of COLLECTs not answered, by their numbers */
	uint32_t parkings;                /* counts them, for tickets */
	uint32_t collects_taken;
	uint32_t collects_answered;
	struct guest_socket *due_first; /* see due_listeners.h */
	struct guest_socket *due_last;
	uint64_t peers_turn;            /* when peers were last taken from a backlog, ... */
	uint32_t peers;                 /* ... and how many in that turn */
	struct loop_timer accept_timer; /* no descriptor was free: try to accept again */
	loop_timer_fn call_expired;     /* the timer of a pending call, its owner, has expired */
	loop_timer_fn accept_retry;     /* accept_timer has expired; its owner is this */
	struct deferred_close closing;
	struct calls_counters counters;
};

/* The sockets table's owner, which every socket names as its own. */
static inline struct calls *calls_of(const struct guest_socket *socket)
{
	return socket->owner;
}

#endif
