/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/trapped/trapped_calls.h"

#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/assert.h"
#include "run/trapped/trapped_accept.h"
#include "run/trapped/trapped_answer.h"
#include "run/trapped/trapped_bind.h"
#include "run/trapped/trapped_connect.h"
#include "run/trapped/trapped_listen.h"
#include "run/trapped/trapped_names.h"
#include "run/trapped/trapped_options.h"
#include "run/trapped/trapped_socket.h"

static const struct {
	int number;
	trapped_handler handler;
} trapped_handlers[] = {
	{SYS_connect, trapped_connect},         {SYS_bind, trapped_bind},
	{SYS_listen, trapped_listen},           {SYS_accept, trapped_accept},
	{SYS_accept4, trapped_accept},          {SYS_getsockname, trapped_getsockname},
	{SYS_getpeername, trapped_getpeername}, {SYS_setsockopt, trapped_setsockopt},
	{SYS_getsockopt, trapped_getsockopt},   {SYS_shutdown, trapped_shutdown},
};

/* The filter stops no other call than socket() and these. */
static trapped_handler trapped_calls_handler(int number)
{
	size_t i;

	for (i = 0; i < sizeof(trapped_handlers) / sizeof(trapped_handlers[0]); i++)
		if (trapped_handlers[i].number == number)
			return trapped_handlers[i].handler;
	ASSERT_UNREACHABLE();
}

/* Whether the answer to this very call got lost, and was given now. */
static bool trapped_calls_replay(struct endpoint *endpoint, const struct trapped_call *call)
{
	if (endpoint->lost_call != call->number)
		return false;
	endpoint->lost_call = -1;
	if (trap_answer(&endpoint->table->trap, call->id, endpoint->lost_result))
		endpoint->lost_call = call->number;
	return true;
}

void trapped_calls_serve(struct endpoint_table *table)
{
	struct endpoint *endpoint;
	struct trapped_call call;
	int theirs;

	if (trap_take(&table->trap, &call))
		return;
	if (call.number == SYS_socket) {
		trapped_socket(table, &call);
		return;
	}
	endpoint = endpoint_find(table, &call, &theirs);
	if (!endpoint) {
		trap_continue(&table->trap, call.id);
		return;
	}
	if (!trapped_calls_replay(endpoint, &call))
		trapped_calls_handler(call.number)(endpoint, &call, theirs);
	close(theirs);
}
