/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/trapped/trapped_names.h"

#include <errno.h>

#include "run/endpoints/endpoint_table.h"
#include "run/trapped/trapped_answer.h"

static void trapped_names_tell(struct trap *trap, const struct trapped_call *call,
			       const struct sockaddr_in *address)
{
	int error = trapped_answer_write_address(trap, call, 1, address);

	if (error != -ENOENT)
		trap_answer(trap, call->id, error);
}

void trapped_getsockname(struct endpoint *endpoint, const struct trapped_call *call, int theirs)
{
	(void)theirs;
	trapped_names_tell(&endpoint->table->trap, call, &endpoint->local);
}

void trapped_getpeername(struct endpoint *endpoint, const struct trapped_call *call, int theirs)
{
	(void)theirs;
	if (endpoint->state == ENDPOINT_CONNECTED)
		trapped_names_tell(&endpoint->table->trap, call, &endpoint->peer);
	else
		trap_answer(&endpoint->table->trap, call->id, -ENOTCONN);
}
