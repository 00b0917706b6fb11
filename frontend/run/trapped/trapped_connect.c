/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * connect().
 *
 * Theory of operation. A fresh pair can be written to, a connecting socket must not. So while
 * CONNECT is under way the program's end has the smallest send buffer there is and is filled up;
 * when CONNECT is answered, that is drained again on our side, which gives waiters of all kinds
 * (poll, epoll, edge-triggered too) their event, and the buffer grows back. If CONNECT failed, our
 * end is closed with it unread: EPOLLERR and EPOLLHUP; unless a connect() that blocks hears of it,
 * whose socket is as new then. It is filled for that one, too: when a signal or SO_SNDTIMEO has
 * ended its wait, of which the first tells nobody, its program looks at the socket as if it had not
 * blocked.
 */
#include "run/trapped/trapped_connect.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "run/endpoints/byte_pump.h"
#include "run/endpoints/endpoint_table.h"
#include "run/endpoints/waiting_calls.h"
#include "run/trapped/trapped_answer.h"
#include "run/trapped/trapped_options.h"

#define FULL_BUFFER (1 << 20)

static void trapped_connect_fill(struct endpoint *endpoint, int theirs)
{
	static const char filler[4096];
	const int smallest = 1;
	ssize_t sent;

	(void)setsockopt(theirs, SOL_SOCKET, SO_SNDBUF, &smallest, sizeof(smallest));
	while ((sent = send(theirs, filler, sizeof(filler), MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
		endpoint->filler += (uint32_t)sent;
}

static void trapped_connect_drain(struct endpoint *endpoint)
{
	int wanted = trapped_options_buffer(endpoint);
	int theirs = endpoint_fetch(endpoint);
	char filler[4096];

	if (!wanted)
		wanted = FULL_BUFFER;
	if (theirs >= 0) {
		(void)setsockopt(theirs, SOL_SOCKET, SO_SNDBUF, &wanted, sizeof(wanted));
		close(theirs);
	}
	while (endpoint->filler > 0) {
		size_t size = endpoint->filler < sizeof(filler) ? endpoint->filler : sizeof(filler);
		ssize_t bytes = recv(endpoint->source.fd, filler, size, MSG_DONTWAIT);

		if (bytes <= 0)
			break;
		endpoint->filler -= (uint32_t)bytes;
	}
}

static void trapped_connect_succeed(struct endpoint *endpoint)
{
	struct sockaddr_in peer;

	if (pvcalls_front_names(endpoint->remote, &endpoint->local, &peer) == 0 && peer.sin_port)
		endpoint->peer = peer;
	endpoint_settle(endpoint);
	endpoint->state = ENDPOINT_CONNECTED;
	trapped_connect_drain(endpoint);
	byte_pump_start(endpoint);
	endpoint->untold = !waiting_calls_answer_all(endpoint, 0);
	endpoint->lost_call = -1; /* the next connect() is told by untold */
}

/* The attempt is over and its end hangs up; who waits is told why, else whoever asks. */
static void trapped_connect_give_up(struct endpoint *endpoint, int result)
{
	if (endpoint->remote)
		pvcalls_front_release(endpoint->remote);
	endpoint->remote = NULL;
	endpoint_fail(endpoint, -result);
	if (waiting_calls_answer_all(endpoint, result))
		endpoint->error = 0;
	endpoint->lost_call = -1; /* the next connect() is told by error */
}

static void trapped_connect_fail(struct endpoint *endpoint, int result)
{
	if (endpoint->blocking && waiting_calls_are_there(endpoint)) {
		pvcalls_front_release(endpoint->remote);
		endpoint->remote = NULL;
		endpoint_settle(endpoint);
		endpoint->state = ENDPOINT_NEW;
		trapped_connect_drain(endpoint);
		if (waiting_calls_answer_all(endpoint, result))
			return;
	}
	trapped_connect_give_up(endpoint, result);
}

void trapped_connect_stop(struct endpoint *endpoint)
{
	trapped_connect_give_up(endpoint, -ECONNRESET);
}

static void trapped_connect_done(struct pvcalls_front_socket *socket, int result, void *context)
{
	(void)socket;
	if (result)
		trapped_connect_fail(context, result);
	else
		trapped_connect_succeed(context);
}

/* Nothing was begun: an endpoint that was bound is bound still, any other has no socket again. */
static void trapped_connect_take_back(struct endpoint *endpoint)
{
	if (endpoint->state == ENDPOINT_BOUND || !endpoint->remote)
		return;
	pvcalls_front_release(endpoint->remote);
	endpoint->remote = NULL;
}

static int trapped_connect_start(struct endpoint *endpoint, const struct sockaddr_in *address)
{
	struct endpoint_table *table = endpoint->table;
	int error = 0;

	if (!endpoint->remote)
		error = pvcalls_front_socket(table->front, endpoint_table_order(table),
					     &endpoint->remote);
	if (!error)
		error = pvcalls_front_connect(endpoint->remote, address, trapped_connect_done,
					      endpoint);
	if (error) {
		trapped_connect_take_back(endpoint);
		return endpoint_table_is_short(table, error) ? -ENOBUFS : error;
	}
	endpoint->state = ENDPOINT_CONNECTING;
	table->promised++;
	endpoint->peer = *address;
	return 0;
}

/* Waits as long as SO_SNDTIMEO says; late is what it is answered then. */
static void trapped_connect_wait(struct endpoint *endpoint, const struct trapped_call *call,
				 int theirs, int late)
{
	if (waiting_calls_add(endpoint, call, trapped_answer_timeout(theirs, SO_SNDTIMEO), late))
		trapped_answer(endpoint, call, -ENOBUFS);
}

static void trapped_connect_begin(struct endpoint *endpoint, const struct trapped_call *call,
				  int theirs, const struct sockaddr_in *address)
{
	int error;

	endpoint->blocking = !trapped_answer_nonblocking(theirs);
	error = trapped_connect_start(endpoint, address);
	if (error) {
		trapped_answer(endpoint, call, error);
		return;
	}
	trapped_connect_fill(endpoint, theirs);
	if (endpoint->blocking)
		trapped_connect_wait(endpoint, call, theirs, -EINPROGRESS);
	else
		trapped_answer(endpoint, call, -EINPROGRESS);
}

/* The pair of the failed attempt is dead: a new one takes its place. */
static void trapped_connect_begin_again(struct endpoint *endpoint, const struct trapped_call *call,
					int theirs, const struct sockaddr_in *address)
{
	int fresh;
	int error;

	if (endpoint->error) {
		trapped_answer(endpoint, call, -endpoint->error);
		endpoint->error = 0;
		return;
	}
	error = trapped_answer_renew(endpoint, call, theirs, &fresh);
	if (error) {
		trapped_answer(endpoint, call, error);
		return;
	}
	trapped_connect_begin(endpoint, call, fresh, address);
	close(fresh);
}

static void trapped_connect_again(struct endpoint *endpoint, const struct trapped_call *call,
				  int theirs)
{
	if (trapped_answer_nonblocking(theirs))
		trapped_answer(endpoint, call, -EALREADY);
	else
		trapped_connect_wait(endpoint, call, theirs, -EALREADY);
}

void trapped_connect(struct endpoint *endpoint, const struct trapped_call *call, int theirs)
{
	struct sockaddr_in address;
	int error = trapped_answer_read_address(call, &address);

	if (!error && !trap_alive(&endpoint->table->trap, call->id))
		return;
	if (error) {
		trapped_answer(endpoint, call, error);
		return;
	}
	switch (endpoint->state) {
	case ENDPOINT_NEW:
	case ENDPOINT_BOUND:
		trapped_connect_begin(endpoint, call, theirs, &address);
		break;
	case ENDPOINT_CONNECTING:
		trapped_connect_again(endpoint, call, theirs);
		break;
	case ENDPOINT_CONNECTED:
		trapped_answer(endpoint, call, endpoint->untold ? 0 : -EISCONN);
		endpoint->untold = false;
		break;
	case ENDPOINT_FAILED:
		trapped_connect_begin_again(endpoint, call, theirs, &address);
		break;
	case ENDPOINT_BINDING:
	case ENDPOINT_STARTING:
	case ENDPOINT_LISTENING:
	case ENDPOINT_ENDED:
	case ENDPOINT_GONE:
		trapped_answer(endpoint, call, -EISCONN);
		break;
	}
}
