/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What each operation does in the stages of a call. serve.c alone calls these functions and knows
 * their order; they know nothing of each other, and answer by what they return.
 */
#ifndef ENGINE_CALLS_CALL_STEPS_H
#define ENGINE_CALLS_CALL_STEPS_H

#include <stdbool.h>
#include <stdint.h>

#include <pvcalls/plugin.h>

struct pending_call;

#define CALL_WAITS 1 /* of a step: the call waits; serve.c goes on with it when something comes */

struct call_steps {
	/*
	 * Finds the socket, checks its state and has the call hold what it will need. Returns 0, or
	 * the negative errno that the protocol asks for; then the call holds nothing.
	 */
	int (*prepare)(struct pending_call *pending);
	/*
	 * Gets what the policy will be asked about, where the request does not name it. Returns 0,
	 * CALL_WAITS or -errno. NULL: the request names it.
	 */
	int (*await)(struct pending_call *pending);
	/*
	 * What await() got was refused, and is recorded so; the call is to be as after prepare().
	 * NULL: a refusal is the call's own end.
	 */
	void (*refused)(struct pending_call *pending);
	/* Executes a permitted call. Returns 0, -errno, or CALL_WAITS. */
	int (*execute)(struct pending_call *pending);
	/*
	 * Goes on with a call that waited in execute(): `events` of epoll_ctl(2) came, or 0 with
	 * pending->expired if its time is over. Returns as execute(). NULL: it never waits.
	 */
	int (*resume)(struct pending_call *pending, uint32_t events);
	/*
	 * Undoes what was prepared and begun, after any error from here on. The call still holds
	 * its socket. NULL: nothing to undo.
	 */
	void (*undo)(struct pending_call *pending, int error);
	int cancelled; /* the answer if its socket is released meanwhile: 0 or a negative errno */
	bool ends_others; /* every other call on its socket is cancelled before it is prepared */
};

/* Indexed by operation (PVCALLS_OP_...). */
extern const struct call_steps *const call_steps[PVCALLS_OP_COUNT];

/* Defined in call_NAME.c. */
extern const struct call_steps call_socket_steps;
extern const struct call_steps call_bind_steps;
extern const struct call_steps call_listen_steps;
extern const struct call_steps call_connect_steps;
extern const struct call_steps call_accept_steps;
extern const struct call_steps call_poll_steps;
extern const struct call_steps call_release_steps;

#endif
