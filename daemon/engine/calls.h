/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The seven operations as the engine executes them. */
#ifndef ENGINE_CALLS_H
#define ENGINE_CALLS_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "engine/flight.h"
#include "ipc/engine_message.h"
#include "sock/socket.h"

#define CALL_LATER 1 /* execute(): the flight waits and will be finished elsewhere */

/* A row of the table: both functions are called by serve.c only. */
struct call_steps {
	/*
	 * Finds the socket and checks its state, before the policy is asked. Returns 0, or the
	 * negative errno that the protocol asks for.
	 */
	int (*prepare)(struct flight *flight);
	/* Executes a permitted call. Returns 0, -errno, or CALL_LATER. */
	int (*execute)(struct flight *flight);
	/* A call that was prepared is denied or failed with this negative errno. May be NULL. */
	void (*undo)(struct flight *flight, int error);
	/* The policy is asked by execute(), which learns only then what to ask. */
	bool decides_later;
};

extern const struct call_steps call_steps[PVCALLS_OP_COUNT];

/* A socket became ready: goes on with what waits on it. */
void socket_ready(struct loop_source *source, uint32_t events);
/* Tries again what waits for audit slots on all listeners. */
void accepts_retry(struct engine *engine);

#define RELEASES_RECORD_NS 800000000u /* 0.8 s: longest wait for slots of the trail's queue */

/*
 * Closes a socket without a RELEASE of the guest: ends what waits on it, unmaps, and describes the
 * release with this reason (enum audit_close) for releases_record().
 */
void socket_close(struct engine *engine, struct guest_socket *socket, uint32_t reason,
		  struct flight_release *about);
/*
 * Records releases, waiting for the trail's queue if it is full. One is lost only if the writer
 * takes nothing for RELEASES_RECORD_NS, and that is logged.
 */
void releases_record(struct engine *engine, const struct flight_release *about, size_t count);

/* Maps the command ring and starts to serve it. Returns 0 or -errno with *fault. */
int engine_attach(struct engine *engine, const struct engine_attach_args *attach,
		  struct fault *fault);
/* Closes every socket, with records, and unmaps the command ring. Fine when not attached. */
void engine_detach(struct engine *engine, uint32_t reason);

#endif
