/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/trapped/trapped_bind.h"

#include <errno.h>

#include "run/endpoints/endpoint_table.h"
#include "run/endpoints/waiting_calls.h"
#include "run/trapped/trapped_answer.h"

static void trapped_bind_done(struct pvcalls_front_socket *socket, int result, void *context)
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
	waiting_calls_answer_all(endpoint, result);
}

int trapped_bind_start(struct endpoint *endpoint, const struct sockaddr_in *address,
		       pvcalls_front_done done)
{
	struct endpoint_table *table = endpoint->table;
	int error =
		pvcalls_front_socket(table->front, endpoint_table_order(table), &endpoint->remote);

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

void trapped_bind(struct endpoint *endpoint, const struct trapped_call *call, int theirs)
{
	struct sockaddr_in address;
	int error = trapped_answer_read_address(call, &address);

	(void)theirs;
	if (!error && !trap_alive(&endpoint->table->trap, call->id))
		return;
	if (!error && endpoint->state != ENDPOINT_NEW && endpoint->state != ENDPOINT_BINDING)
		error = -EINVAL;
	if (!error && endpoint->state == ENDPOINT_NEW) {
		error = trapped_bind_start(endpoint, &address, trapped_bind_done);
		if (!error)
			endpoint->state = ENDPOINT_BINDING;
	}
	if (!error)
		error = waiting_calls_add(endpoint, call, 0, 0);
	if (error)
		trapped_answer(endpoint, call, error);
}
