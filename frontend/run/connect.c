/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * connect().
 *
 * Theory of operation. A fresh pair can be written to, a connecting socket must not. So before a
 * connect() that does not block is answered, the program's end gets the smallest send buffer there
 * is and is filled with junk; when CONNECT is answered, the junk is drained on our side, which
 * gives waiters of all kinds (poll, epoll, edge-triggered too) their event, and the buffer grows
 * back. If CONNECT failed, our end is closed with the junk unread: EPOLLERR and EPOLLHUP.
 * A connect() that blocks just waits for its answer; nothing is filled for it.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "calls.h"
#include "endpoint.h"
#include "pump.h"

#define FULL_BUFFER (1 << 20)

static void fill(struct endpoint *endpoint, int theirs)
{
	static const char junk[4096];
	const int smallest = 1;
	ssize_t sent;

	(void)setsockopt(theirs, SOL_SOCKET, SO_SNDBUF, &smallest, sizeof(smallest));
	while ((sent = send(theirs, junk, sizeof(junk), MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
		endpoint->junk += (uint32_t)sent;
}

static void drain(struct endpoint *endpoint)
{
	int wanted = calls_wanted_buffer(endpoint);
	int theirs = endpoint_fetch(endpoint);
	char junk[4096];

	if (!wanted)
		wanted = FULL_BUFFER;
	if (theirs >= 0) {
		(void)setsockopt(theirs, SOL_SOCKET, SO_SNDBUF, &wanted, sizeof(wanted));
		close(theirs);
	}
	while (endpoint->junk > 0) {
		size_t size = endpoint->junk < sizeof(junk) ? endpoint->junk : sizeof(junk);
		ssize_t bytes = recv(endpoint->source.fd, junk, size, MSG_DONTWAIT);

		if (bytes <= 0)
			break;
		endpoint->junk -= (uint32_t)bytes;
	}
}

static void succeed(struct endpoint *endpoint)
{
	struct sockaddr_in peer;

	if (pvcalls_front_names(endpoint->remote, &endpoint->local, &peer) == 0 && peer.sin_port)
		endpoint->peer = peer;
	endpoint->state = ENDPOINT_CONNECTED;
	if (!endpoint->blocking)
		drain(endpoint);
	pump_start(endpoint);
	endpoint->untold = !endpoint_answer_all(endpoint, 0);
}

static void fail(struct endpoint *endpoint, int result)
{
	pvcalls_front_release(endpoint->remote);
	endpoint->remote = NULL;
	if (endpoint->blocking) {
		endpoint->state = ENDPOINT_NEW;
		endpoint_answer_all(endpoint, result);
		return;
	}
	endpoint_fail(endpoint, -result);
	if (endpoint_answer_all(endpoint, result))
		endpoint->error = 0;
}

static void connected(struct pvcalls_front_socket *socket, int result, void *context)
{
	(void)socket;
	if (result)
		fail(context, result);
	else
		succeed(context);
}

static int start(struct endpoint *endpoint, const struct sockaddr_in *address)
{
	struct run *run = endpoint->run;
	int error = 0;

	if (!endpoint->remote)
		error = pvcalls_front_socket(run->front, endpoint_order(run), &endpoint->remote);
	if (!error)
		error = pvcalls_front_connect(endpoint->remote, address, connected, endpoint);
	if (error)
		return endpoint_is_short(run, error) ? -ENOBUFS : error;
	endpoint->state = ENDPOINT_CONNECTING;
	endpoint->peer = *address;
	return 0;
}

static void begin(struct endpoint *endpoint, const struct notice *notice, int theirs,
		  const struct sockaddr_in *address)
{
	int error;

	endpoint->blocking = !calls_nonblocking(theirs);
	error = start(endpoint, address);
	if (error) {
		calls_answer(endpoint, notice, error);
	} else if (endpoint->blocking) {
		if (endpoint_wait(endpoint, notice, calls_timeout(theirs, SO_SNDTIMEO)))
			calls_answer(endpoint, notice, -ENOBUFS);
	} else {
		fill(endpoint, theirs);
		calls_answer(endpoint, notice, -EINPROGRESS);
	}
}

/* The pair of the failed attempt is dead: a new one takes its place. */
static void begin_again(struct endpoint *endpoint, const struct notice *notice, int theirs,
			const struct sockaddr_in *address)
{
	int fresh;
	int error;

	if (endpoint->error) {
		calls_answer(endpoint, notice, -endpoint->error);
		endpoint->error = 0;
		return;
	}
	error = endpoint_renew(endpoint, calls_nonblocking(theirs), &fresh);
	if (error) {
		calls_answer(endpoint, notice, error);
		return;
	}
	endpoint->state = ENDPOINT_NEW;
	error = notice_replace_fd(&endpoint->run->notices, notice->id, fresh, (int)notice->args[0],
				  notice_close_on_exec(notice, (int)notice->args[0]));
	if (error < 0)
		calls_answer(endpoint, notice, error);
	else
		begin(endpoint, notice, fresh, address);
	close(fresh);
}

static void again(struct endpoint *endpoint, const struct notice *notice, int theirs)
{
	if (calls_nonblocking(theirs))
		calls_answer(endpoint, notice, -EALREADY);
	else if (endpoint_wait(endpoint, notice, calls_timeout(theirs, SO_SNDTIMEO)))
		calls_answer(endpoint, notice, -ENOBUFS);
}

void calls_connect(struct run *run, struct endpoint *endpoint, const struct notice *notice,
		   int theirs)
{
	struct sockaddr_in address;
	int error = calls_read_address(notice, &address);

	if (!error && !notice_alive(&run->notices, notice->id))
		return;
	if (error) {
		calls_answer(endpoint, notice, error);
		return;
	}
	switch (endpoint->state) {
	case ENDPOINT_NEW:
	case ENDPOINT_BOUND:
		begin(endpoint, notice, theirs, &address);
		break;
	case ENDPOINT_CONNECTING:
		again(endpoint, notice, theirs);
		break;
	case ENDPOINT_CONNECTED:
		calls_answer(endpoint, notice, endpoint->untold ? 0 : -EISCONN);
		endpoint->untold = false;
		break;
	case ENDPOINT_FAILED:
		begin_again(endpoint, notice, theirs, &address);
		break;
	case ENDPOINT_BINDING:
	case ENDPOINT_STARTING:
	case ENDPOINT_LISTENING:
	case ENDPOINT_GONE:
		calls_answer(endpoint, notice, -EISCONN);
		break;
	}
}
