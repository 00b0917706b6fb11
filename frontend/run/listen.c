/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bind(), listen(), accept().
 *
 * Theory of operation. A listener keeps some ACCEPTs in flight. A connection goes to the accept()
 * that waits longest; without one it is kept, and a byte is written into the pair, so that the
 * program's end is readable for as long as there is a connection to accept, with an edge for each.
 * accept() takes one byte out again through its duplicate of the program's end.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "calls.h"
#include "endpoint.h"
#include "pump.h"

#define FAILURES_MAX 16 /* accepts that failed one after the other */
#define BACKLOG_MAX  4096
#define HUNGRY_MS    100 /* until pages for a connection are asked for again */

static void refill(struct endpoint *listener);

static void bound(struct pvcalls_front_socket *socket, int result, void *context)
{
	struct endpoint *endpoint = context;

	if (result) {
		pvcalls_front_release(endpoint->remote);
		endpoint->remote = NULL;
		endpoint->local = (struct sockaddr_in){.sin_family = AF_INET};
	} else {
		struct sockaddr_in names;

		pvcalls_front_names(socket, &names, NULL);
		if (names.sin_port)
			endpoint->local.sin_port = names.sin_port;
	}
	endpoint->state = result ? ENDPOINT_NEW : ENDPOINT_BOUND;
	endpoint_answer_all(endpoint, result);
}

/* Sends BIND; done gets the outcome. */
static int start_bind(struct endpoint *endpoint, const struct sockaddr_in *address,
		      pvcalls_front_done done)
{
	struct run *run = endpoint->run;
	int error = pvcalls_front_socket(run->front, endpoint_order(run), &endpoint->remote);

	if (error)
		return error;
	error = pvcalls_front_bind(endpoint->remote, address, done, endpoint);
	if (error) {
		pvcalls_front_release(endpoint->remote);
		endpoint->remote = NULL;
		return error;
	}
	endpoint->local = *address;
	return 0;
}

void calls_bind(struct run *run, struct endpoint *endpoint, const struct notice *notice, int theirs)
{
	struct sockaddr_in address;
	int error = calls_read_address(notice, &address);

	(void)theirs;
	if (!error && !notice_alive(&run->notices, notice->id))
		return;
	if (!error && endpoint->state != ENDPOINT_NEW && endpoint->state != ENDPOINT_BINDING)
		error = -EINVAL;
	if (!error && endpoint->state == ENDPOINT_NEW) {
		error = start_bind(endpoint, &address, bound);
		if (!error)
			endpoint->state = ENDPOINT_BINDING;
	}
	if (!error)
		error = endpoint_wait(endpoint, notice, 0);
	if (error)
		calls_answer(endpoint, notice, error);
}

static void listening(struct pvcalls_front_socket *socket, int result, void *context)
{
	struct endpoint *endpoint = context;
	struct sockaddr_in names;

	endpoint->state = result ? ENDPOINT_BOUND : ENDPOINT_LISTENING;
	if (!result) {
		pvcalls_front_names(socket, &names, NULL);
		if (names.sin_port)
			endpoint->local.sin_port = names.sin_port;
		refill(endpoint);
	}
	endpoint_answer_all(endpoint, result);
}

static int start_listen(struct endpoint *endpoint)
{
	int error = pvcalls_front_listen(endpoint->remote, endpoint->backlog, listening, endpoint);

	if (!error)
		endpoint->state = ENDPOINT_STARTING;
	return error;
}

/* BIND before a listen() without bind() was answered. */
static void bound_to_listen(struct pvcalls_front_socket *socket, int result, void *context)
{
	struct endpoint *endpoint = context;

	(void)socket;
	if (!result)
		result = start_listen(endpoint);
	if (!result)
		return;
	pvcalls_front_release(endpoint->remote);
	endpoint->remote = NULL;
	endpoint->state = ENDPOINT_NEW;
	endpoint_answer_all(endpoint, result);
}

static uint32_t sane_backlog(int backlog)
{
	if (backlog < 1)
		return 1;
	return backlog > BACKLOG_MAX ? BACKLOG_MAX : (uint32_t)backlog;
}

void calls_listen(struct run *run, struct endpoint *endpoint, const struct notice *notice,
		  int theirs)
{
	const struct sockaddr_in any = {.sin_family = AF_INET};
	int error = -EINVAL;

	(void)run;
	(void)theirs;
	if (endpoint->state == ENDPOINT_LISTENING) {
		endpoint->backlog = sane_backlog((int)notice->args[1]);
		calls_answer(endpoint, notice, 0);
		return;
	}
	if (endpoint->state == ENDPOINT_STARTING) { /* a restarted call */
		error = 0;
	} else if (endpoint->state == ENDPOINT_BOUND || endpoint->state == ENDPOINT_NEW) {
		endpoint->backlog = sane_backlog((int)notice->args[1]);
		error = endpoint->state == ENDPOINT_BOUND
				? start_listen(endpoint)
				: start_bind(endpoint, &any, bound_to_listen);
		if (!error)
			endpoint->state = ENDPOINT_STARTING;
	}
	if (!error)
		error = endpoint_wait(endpoint, notice, 0);
	if (error)
		calls_answer(endpoint, notice, error);
}

/*
 * Hands a connection to an accept(). 0; -ENOENT if that is dead, or another -errno to answer it
 * with; then the connection is still the caller's.
 */
static int hand_over(struct endpoint *listener, struct pvcalls_front_socket *remote,
		     const struct notice *notice)
{
	struct run *run = listener->run;
	int flags = notice->call == SYS_accept4 ? (int)notice->args[3] : 0;
	struct endpoint *endpoint;
	int theirs;
	int number = 0;

	if (!notice_alive(&run->notices, notice->id))
		return -ENOENT;
	endpoint = endpoint_new(run, flags & SOCK_NONBLOCK, &theirs);
	if (!endpoint)
		return errno == EMFILE ? -ENFILE : -errno;
	if (pvcalls_front_names(remote, &endpoint->local, &endpoint->peer))
		endpoint->local = listener->local;
	if (notice->args[1])
		number = calls_write_address(run, notice, 1, &endpoint->peer);
	if (number == 0)
		number = notice_give_fd(&run->notices, notice->id, theirs, flags & SOCK_CLOEXEC);
	close(theirs);
	if (number < 0) {
		endpoint_end(endpoint);
		return number;
	}
	endpoint->remote = remote;
	endpoint->state = ENDPOINT_CONNECTED;
	endpoint->last_tid = notice->tid;
	endpoint->last_fd = number;
	pump_start(endpoint);
	return 0;
}

/* To the first accept() that still waits. False: there is none. */
static bool hand_to_waiter(struct endpoint *listener, struct pvcalls_front_socket *remote)
{
	while (listener->waiters) {
		struct notice notice = listener->waiters->notice;
		int error;

		endpoint_drop_first_waiter(listener);
		error = hand_over(listener, remote, &notice);
		if (!error)
			return true;
		if (error != -ENOENT)
			notice_answer(&listener->run->notices, notice.id, error);
	}
	return false;
}

static void keep(struct endpoint *listener, struct pvcalls_front_socket *remote)
{
	struct early *early = malloc(sizeof(*early));
	struct early **at = &listener->early;

	if (!early) {
		pvcalls_front_release(remote);
		return;
	}
	*early = (struct early){.remote = remote};
	while (*at)
		at = &(*at)->next;
	*at = early;
	listener->early_count++;
	(void)send(listener->source.fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void accepted(struct pvcalls_front_socket *socket, int result, void *context)
{
	struct endpoint *listener = context;

	listener->accepting--;
	if (result) {
		if (++listener->failures > FAILURES_MAX ||
		    pvcalls_front_error(listener->run->front))
			calls_stop_listening(listener, result);
		else
			refill(listener);
		return;
	}
	listener->failures = 0;
	if (!hand_to_waiter(listener, socket))
		keep(listener, socket);
	refill(listener);
}

static void refill(struct endpoint *listener)
{
	struct run *run = listener->run;
	uint32_t ahead = listener->backlog < ACCEPT_AHEAD ? listener->backlog : ACCEPT_AHEAD;
	int error;

	/* Linux' own backend, which tells no names, refuses a second ACCEPT. */
	if (listener->remote && pvcalls_front_names(listener->remote, NULL, NULL))
		ahead = 1;
	while (listener->state == ENDPOINT_LISTENING &&
	       listener->accepting + listener->early_count < ahead) {
		error = pvcalls_front_accept(listener->remote, endpoint_order(run), accepted,
					     listener);
		if (error) {
			listener->hungry = endpoint_is_short(run, error);
			if (listener->hungry)
				run->hungry_ms = loop_now_ms() + HUNGRY_MS;
			return;
		}
		listener->accepting++;
	}
}

void calls_feed(struct run *run)
{
	struct endpoint *endpoint;
	uint32_t i;

	run->hungry_ms = 0;
	for (i = 0; i < ENDPOINT_BUCKETS; i++) {
		for (endpoint = run->bucket[i]; endpoint; endpoint = endpoint->next) {
			if (!endpoint->hungry)
				continue;
			endpoint->hungry = false;
			refill(endpoint);
		}
	}
}

void calls_stop_listening(struct endpoint *endpoint, int error)
{
	endpoint_answer_all(endpoint, error);
	endpoint->lost_call = -1;
	if (endpoint->remote)
		pvcalls_front_release(endpoint->remote);
	endpoint->remote = NULL;
	endpoint_fail(endpoint, 0);
}

/* A connection that is there already. Returns as hand_over(). */
static int accept_early(struct endpoint *listener, const struct notice *notice, int theirs)
{
	struct early *early = listener->early;
	char byte;
	int error;

	/* First, so that the program never sees the byte of a connection it already has. */
	(void)recv(theirs, &byte, 1, MSG_DONTWAIT);
	error = hand_over(listener, early->remote, notice);
	if (error) {
		(void)send(listener->source.fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		return error;
	}
	listener->early = early->next;
	listener->early_count--;
	free(early);
	refill(listener);
	return 0;
}

static bool bad_flags(const struct notice *notice)
{
	return notice->call == SYS_accept4 &&
	       (int)notice->args[3] & ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
}

void calls_accept(struct run *run, struct endpoint *endpoint, const struct notice *notice,
		  int theirs)
{
	int error;

	if (endpoint->state != ENDPOINT_LISTENING || bad_flags(notice))
		error = -EINVAL;
	else if (endpoint->early)
		error = accept_early(endpoint, notice, theirs);
	else if (calls_nonblocking(theirs))
		error = -EAGAIN;
	else
		error = endpoint_wait(endpoint, notice, calls_timeout(theirs, SO_RCVTIMEO));
	if (error)
		notice_answer(&run->notices, notice->id, error);
}
