/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A flight: one request between its place in the ring and its response.
 *
 * What a flight waits for is its `wait`; whoever ends the wait calls flight_finish() or, for accept
 * and delay, goes on with execution. Releasing a socket, detaching and cutting off end every wait.
 */
#ifndef ENGINE_FLIGHT_H
#define ENGINE_FLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "base/meter.h"
#include "call/call.h"

struct engine;
struct guest_socket;

enum flight_wait {
	FLIGHT_FREE,
	FLIGHT_BUSY,    /* in serve.c; not waiting */
	FLIGHT_DELAY,   /* a plugin delays it; timer */
	FLIGHT_CONNECT, /* the network answers; timer is its deadline */
	FLIGHT_ACCEPT,  /* a connection comes to its listener */
	FLIGHT_POLL,    /* the same, for POLL */
	FLIGHT_RELEASE, /* the peer takes what the guest had written */
	FLIGHT_COMMIT,  /* sync durability: its record is written; then it is answered */
};

#define FLIGHT_NO_SLOT UINT32_MAX

struct flight {
	struct engine *engine;
	struct flight *next; /* among the free ones, or those waiting on one listener */
	enum flight_wait wait;
	struct call call;
	struct pvcalls_call view; /* what plugins see of it */
	struct decision decision;
	struct guest_socket *socket;  /* the socket it works on, if there is one */
	struct pvcalls_endpoint peer; /* for the record */
	struct meter *meter_in; /* references of the decision's meters, until a stream takes them */
	struct meter *meter_out;
	struct loop_timer timer;
	int accepted;          /* descriptor of a connection that waits for its delay; -1 */
	int result;            /* FLIGHT_COMMIT: the answer */
	uint32_t extra;        /* BIND, LISTEN: the bound port, for the response's padding */
	uint32_t close_reason; /* RELEASE: enum audit_close */
};

/* Puts all flights into the free list. */
void flights_init(struct engine *engine);
/* A flight for a request that was just taken from the ring, with the audit slot taken for it. */
struct flight *flight_begin(struct engine *engine, const struct wire_request *request,
			    uint32_t slot);
/* Records a release that the guest did not ask for; the socket is described by *about. */
struct flight_release {
	uint64_t socket;
	uint64_t parent;
	struct pvcalls_endpoint local;
	struct pvcalls_endpoint peer;
	uint64_t bytes_in;
	uint64_t bytes_out;
	uint64_t age_ns;
	uint32_t reason; /* enum audit_close */
};
/* Returns 0, or -ENOBUFS if the trail has no slot for it. */
int flight_record_release(struct engine *engine, const struct flight_release *about);
/* Asks the policy; fills decision, the slot, and moves the call to DECIDED. */
void flight_decide(struct flight *flight);
/* Marks a call that the protocol itself refuses: decided without plugins. */
void flight_refuse(struct flight *flight, const char *reason);

/* Outcome: completes and hands over the record, tells observers, answers (or waits for the commit).
 */
void flight_finish(struct flight *flight, int result);
/* As flight_finish(), but the guest is not answered: its ring slot is lost (see flight.c). */
void flight_finish_silently(struct flight *flight, int result);
/*
 * Completes the record of a peer that the policy refused (result is what it met) and gets the
 * flight, which goes on waiting, a new serial number and slot; FLIGHT_NO_SLOT if the trail has
 * none.
 */
void flight_refused_peer(struct flight *flight, int result);
/* Gets a slot for a flight that has none. Returns whether it has one now. */
bool flight_get_slot(struct flight *flight);

/* A slot was committed: answers the flight that waited for it. owner is the engine. */
void flights_stored(void *owner, uint32_t slot);

#endif
