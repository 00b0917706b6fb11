/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * accept().
 *
 * Theory of operation. A listener keeps some ACCEPTs in flight. A connection goes to the accept()
 * that waits longest; without one it is kept, and a byte is written into the pair, so that the
 * program's end is readable for as long as there is a connection to accept, with an edge for each.
 * accept() takes one byte out again through its duplicate of the program's end.
 */
#include "run/trapped/trapped_accept.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/assert.h"
#include "run/endpoints/byte_pump.h"
#include "run/endpoints/waiting_calls.h"
#include "run/trapped/trapped_answer.h"

#define FAILURES_MAX 16  /* accepts that failed one after the other */
#define RETRY_MS     100 /* until pages for a connection are asked for again */

/*
 * Hands a connection to an accept(). 0; -ENOENT if that is dead, or another -errno to answer it
 * with; then the connection is still the caller's.
 */
static int trapped_accept_hand_over(struct endpoint *listener, struct pvcalls_front_socket *remote,
				    const struct trapped_call *call)
{
	struct endpoint_table *table = listener->table;
	int flags = call->number == SYS_accept4 ? (int)call->args[3] : 0;
	struct endpoint *endpoint;
	int theirs;
	int number = 0;

	if (!trap_alive(&table->trap, call->id))
		return -ENOENT;
	endpoint = endpoint_new(table, flags & SOCK_NONBLOCK, &theirs);
	if (!endpoint)
		return errno == EMFILE ? -ENFILE : -errno;
	if (pvcalls_front_names(remote, &endpoint->local, &endpoint->peer))
		endpoint->local = listener->local;
	if (call->args[1])
		number = trapped_answer_write_address(&table->trap, call, 1, &endpoint->peer);
	if (number == 0)
		number = trap_give_fd(&table->trap, call->id, theirs, flags & SOCK_CLOEXEC);
	close(theirs);
	if (number < 0) {
		endpoint_end(endpoint);
		return number;
	}
	endpoint->remote = remote;
	endpoint->state = ENDPOINT_CONNECTED;
	endpoint->last_tid = call->tid;
	endpoint->last_fd = number;
	byte_pump_start(endpoint);
	return 0;
}

/* To the first accept() that still waits. False: there is none. */
static bool trapped_accept_hand_to_waiting(struct endpoint *listener,
					   struct pvcalls_front_socket *remote)
{
	while (listener->waiting) {
		struct trapped_call call = listener->waiting->call;
		int error;

		waiting_calls_drop_first(listener);
		error = trapped_accept_hand_over(listener, remote, &call);
		if (!error)
			return true;
		if (error != -ENOENT)
			trap_answer(&listener->table->trap, call.id, error);
	}
	return false;
}

static void trapped_accept_keep(struct endpoint *listener, struct pvcalls_front_socket *remote)
{
	struct early_connection *early = malloc(sizeof(*early));
	struct early_connection **at = &listener->early;

	if (!early) {
		pvcalls_front_release(remote);
		return;
	}
	*early = (struct early_connection){.remote = remote};
	while (*at)
		at = &(*at)->next;
	*at = early;
	listener->early_count++;
	(void)send(listener->source.fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void trapped_accept_done(struct pvcalls_front_socket *socket, int result, void *context)
{
	struct endpoint *listener = context;

	ASSERT(listener->accepting > 0 && listener->table->promised > 0);
	listener->accepting--;
	listener->table->promised--;
	if (result) {
		if (++listener->failures > FAILURES_MAX ||
		    pvcalls_front_error(listener->table->front))
			trapped_accept_stop(listener, result);
		else
			trapped_accept_refill(listener);
		return;
	}
	listener->failures = 0;
	if (!trapped_accept_hand_to_waiting(listener, socket))
		trapped_accept_keep(listener, socket);
	trapped_accept_refill(listener);
}

void trapped_accept_refill(struct endpoint *listener)
{
	struct endpoint_table *table = listener->table;
	uint32_t ahead = endpoint_table_ahead(table);
	int error;

	if (listener->backlog < ahead)
		ahead = listener->backlog;

	/* Linux' own backend, which tells no names, refuses a second ACCEPT. */
	if (listener->remote && pvcalls_front_names(listener->remote, NULL, NULL))
		ahead = 1;
	while (listener->state == ENDPOINT_LISTENING &&
	       listener->accepting + listener->early_count < ahead) {
		error = pvcalls_front_accept(listener->remote, endpoint_table_order(table),
					     trapped_accept_done, listener);
		if (error) {
			listener->starved = endpoint_table_is_short(table, error);
			if (listener->starved)
				table->retry_ms = event_source_now_ms() + RETRY_MS;
			return;
		}
		listener->accepting++;
		table->promised++;
	}
}

void trapped_accept_retry(struct endpoint_table *table)
{
	struct endpoint *endpoint;
	uint32_t i;

	table->retry_ms = 0;
	for (i = 0; i < ENDPOINT_BUCKETS; i++) {
		for (endpoint = table->bucket[i]; endpoint; endpoint = endpoint->next) {
			if (!endpoint->starved)
				continue;
			endpoint->starved = false;
			trapped_accept_refill(endpoint);
		}
	}
}

void trapped_accept_stop(struct endpoint *listener, int error)
{
	waiting_calls_answer_all(listener, error);
	listener->lost_call = -1;
	if (listener->remote)
		pvcalls_front_release(listener->remote);
	listener->remote = NULL;
	endpoint_fail(listener, 0);
}

/* A connection that is there already. Returns as trapped_accept_hand_over(). */
static int trapped_accept_early(struct endpoint *listener, const struct trapped_call *call,
				int theirs)
{
	struct early_connection *early = listener->early;
	char byte;
	int error;

	/* First, so that the program never sees the byte of a connection it already has. */
	(void)recv(theirs, &byte, 1, MSG_DONTWAIT);
	error = trapped_accept_hand_over(listener, early->remote, call);
	if (error) {
		(void)send(listener->source.fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		return error;
	}
	listener->early = early->next;
	ASSERT(listener->early_count > 0);
	listener->early_count--;
	free(early);
	trapped_accept_refill(listener);
	return 0;
}

static bool trapped_accept_bad_flags(const struct trapped_call *call)
{
	return call->number == SYS_accept4 && (int)call->args[3] & ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
}

void trapped_accept(struct endpoint *endpoint, const struct trapped_call *call, int theirs)
{
	int error;

	if (endpoint->state != ENDPOINT_LISTENING || trapped_accept_bad_flags(call))
		error = -EINVAL;
	else if (endpoint->early)
		error = trapped_accept_early(endpoint, call, theirs);
	else if (trapped_answer_nonblocking(theirs))
		error = -EAGAIN;
	else
		error = waiting_calls_add(endpoint, call,
					  trapped_answer_timeout(theirs, SO_RCVTIMEO), -EAGAIN);
	if (error)
		trap_answer(&endpoint->table->trap, call->id, error);
}
