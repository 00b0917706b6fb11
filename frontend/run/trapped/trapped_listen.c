/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/trapped/trapped_listen.h"

#include <errno.h>
#include <unistd.h>

#include "base/assert.h"
#include "run/endpoints/endpoint_table.h"
#include "run/endpoints/waiting_calls.h"
#include "run/trapped/trapped_accept.h"
#include "run/trapped/trapped_answer.h"
#include "run/trapped/trapped_bind.h"

#define BACKLOG_MAX 4096

static void trapped_listen_done(struct pvcalls_front_socket *socket, int result, void *context)
{
	struct endpoint *endpoint = context;
	struct sockaddr_in names;

	endpoint->state = result ? ENDPOINT_BOUND : ENDPOINT_LISTENING;
	if (!result) {
		endpoint->table->listeners++;
		pvcalls_front_names(socket, &names, NULL);
		if (names.sin_port)
			endpoint->local.sin_port = names.sin_port;
		trapped_accept_refill(endpoint);
	}
	waiting_calls_answer_all(endpoint, result);
}

static int trapped_listen_start(struct endpoint *endpoint)
{
	int error;

	ASSERT(endpoint->remote);
	error = pvcalls_front_listen(endpoint->remote, endpoint->backlog, trapped_listen_done,
				     endpoint);
	if (!error)
		endpoint->state = ENDPOINT_STARTING;
	return error;
}

/* BIND before a listen() without bind() was answered. */
static void trapped_listen_bound(struct pvcalls_front_socket *socket, int result, void *context)
{
	struct endpoint *endpoint = context;

	(void)socket;
	if (!result)
		result = trapped_listen_start(endpoint);
	if (!result)
		return;
	pvcalls_front_release(endpoint->remote);
	endpoint->remote = NULL;
	endpoint->state = ENDPOINT_NEW;
	waiting_calls_answer_all(endpoint, result);
}

/* After shutdown() of a listener, or a connect() that failed: its address is bound to again. */
static int trapped_listen_renew(struct endpoint *endpoint, const struct trapped_call *call,
				int theirs)
{
	int fresh;
	int error = trapped_answer_renew(endpoint, call, theirs, &fresh);

	if (!error)
		close(fresh);
	return error;
}

static int trapped_listen_begin(struct endpoint *endpoint, uint32_t backlog)
{
	int error = -EINVAL;

	endpoint->backlog = backlog;
	if (endpoint->state == ENDPOINT_BOUND)
		error = trapped_listen_start(endpoint);
	else if (endpoint->state == ENDPOINT_NEW)
		error = trapped_bind_start(endpoint, &endpoint->local, trapped_listen_bound);
	if (!error)
		endpoint->state = ENDPOINT_STARTING;
	return error;
}

static uint32_t trapped_listen_backlog(int backlog)
{
	if (backlog < 1)
		return 1;
	return backlog > BACKLOG_MAX ? BACKLOG_MAX : (uint32_t)backlog;
}

void trapped_listen(struct endpoint *endpoint, const struct trapped_call *call, int theirs)
{
	uint32_t backlog = trapped_listen_backlog((int)call->args[1]);
	int error = 0;

	if (endpoint->state == ENDPOINT_LISTENING) {
		endpoint->backlog = backlog;
		trapped_answer(endpoint, call, 0);
		return;
	}
	if (endpoint->state == ENDPOINT_FAILED)
		error = trapped_listen_renew(endpoint, call, theirs);
	/* A restarted call finds it starting. */
	if (!error && endpoint->state != ENDPOINT_STARTING)
		error = trapped_listen_begin(endpoint, backlog);
	if (!error)
		error = waiting_calls_add(endpoint, call, 0, 0);
	if (error)
		trapped_answer(endpoint, call, error);
}
