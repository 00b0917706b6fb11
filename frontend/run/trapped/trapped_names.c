/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/trapped/trapped_names.h"

#include <errno.h>

#include "run/endpoints/endpoint_table.h"
#include "run/endpoints/waiting_calls.h"
#include "run/trapped/trapped_answer.h"

static void trapped_names_tell(struct trap *trap, const struct trapped_call *call,
			       const struct sockaddr_in *address)
{
	int error = trapped_answer_write_address(trap, call, 1, address);

	if (error != -ENOENT)
		trap_answer(trap, call->id, error);
}

void trapped_names_local_done(struct pvcalls_front_socket *socket, int result, void *context)
{
	struct endpoint *endpoint = context;

	if (!result)
		pvcalls_front_names(socket, &endpoint->local, NULL);
	while (endpoint->waiting) {
		struct trapped_call call = endpoint->waiting->call;

		waiting_calls_drop_first(endpoint);
		trapped_names_tell(&endpoint->table->trap, &call, &endpoint->local);
	}
	/* It may have had to stay for this. */
	endpoint_queue(endpoint);
}

/* Whether the backend was asked, or is being asked, for the own address of a stream. */
static bool trapped_names_ask_local(struct endpoint *endpoint)
{
	int error;

	if (endpoint->state != ENDPOINT_CONNECTED || endpoint->local.sin_port)
		return false;
	error = pvcalls_front_ask_local(endpoint->remote, trapped_names_local_done, endpoint);
	if (error == -EALREADY)
		pvcalls_front_names(endpoint->remote, &endpoint->local, NULL);
	return !error || error == -EBUSY;
}

void trapped_getsockname(struct endpoint *endpoint, const struct trapped_call *call, int theirs)
{
	(void)theirs;
	if (!trapped_names_ask_local(endpoint))
		trapped_names_tell(&endpoint->table->trap, call, &endpoint->local);
	else if (waiting_calls_add(endpoint, call, 0, 0))
		trap_answer(&endpoint->table->trap, call->id, -ENOBUFS);
}

void trapped_getpeername(struct endpoint *endpoint, const struct trapped_call *call, int theirs)
{
	(void)theirs;
	if (endpoint->state == ENDPOINT_CONNECTED)
		trapped_names_tell(&endpoint->table->trap, call, &endpoint->peer);
	else
		trap_answer(&endpoint->table->trap, call->id, -ENOTCONN);
}
