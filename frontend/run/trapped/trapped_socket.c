/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "run/trapped/trapped_socket.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "run/endpoints/reset_mark.h"
#include "run/trapped/trapped_accept.h"
#include "run/trapped/trapped_connect.h"

void trapped_socket(struct endpoint_table *table, const struct trapped_call *call)
{
	int type = (int)call->args[1];
	int protocol = (int)call->args[2];
	struct endpoint *endpoint;
	int theirs;
	int number;

	if (pvcalls_front_error(table->front) || (protocol != 0 && protocol != IPPROTO_TCP)) {
		trap_answer(&table->trap, call->id,
			    pvcalls_front_error(table->front) ? -ENETDOWN : -EPROTONOSUPPORT);
		return;
	}
	endpoint = endpoint_new(table, type & SOCK_NONBLOCK, &theirs);
	if (!endpoint) {
		trap_answer(&table->trap, call->id, errno == EMFILE ? -ENFILE : -errno);
		return;
	}
	number = trap_give_fd(&table->trap, call->id, theirs, type & SOCK_CLOEXEC);
	close(theirs);
	if (number < 0) {
		endpoint_end(endpoint);
		trap_answer(&table->trap, call->id, number);
		return;
	}
	endpoint->last_tid = call->tid;
	endpoint->last_fd = number;
}

static void trapped_shutdown_stream(struct endpoint *endpoint, const struct trapped_call *call,
				    int theirs)
{
	struct trap *trap = &endpoint->table->trap;
	int how = (int)call->args[1];

	if (!trap_alive(trap, call->id))
		return;
	if (how == SHUT_WR || how == SHUT_RDWR) {
		endpoint->shut = true;
		if (!endpoint->in_done)
			reset_mark_set(endpoint, theirs);
	}
	if (how == SHUT_RD || how == SHUT_RDWR)
		endpoint->shut_read = true;
	trap_answer(trap, call->id, shutdown(theirs, how) < 0 ? -errno : 0);
}

void trapped_shutdown(struct endpoint *endpoint, const struct trapped_call *call, int theirs)
{
	struct trap *trap = &endpoint->table->trap;
	unsigned int how = (unsigned int)call->args[1];

	if (how > SHUT_RDWR) {
		trap_answer(trap, call->id, -EINVAL);
	} else if (endpoint->state == ENDPOINT_CONNECTED) {
		trapped_shutdown_stream(endpoint, call, theirs);
	} else if (endpoint->state == ENDPOINT_LISTENING) {
		if (how != SHUT_WR)
			trapped_accept_stop(endpoint, -EINVAL);
		trap_answer(trap, call->id, 0);
	} else if (endpoint->state == ENDPOINT_CONNECTING) {
		trapped_connect_stop(endpoint);
		trap_answer(trap, call->id, 0);
	} else {
		trap_answer(trap, call->id, -ENOTCONN);
	}
}
