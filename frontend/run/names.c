/* SPDX-License-Identifier: GPL-2.0-or-later */
/* getsockname() and getpeername(). */
#include <errno.h>

#include "calls.h"

static void tell(struct run *run, const struct notice *notice, const struct sockaddr_in *address)
{
	int error = calls_write_address(run, notice, 1, address);

	if (error != -ENOENT)
		notice_answer(&run->notices, notice->id, error);
}

void calls_getsockname(struct run *run, struct endpoint *endpoint, const struct notice *notice,
		       int theirs)
{
	(void)theirs;
	tell(run, notice, &endpoint->local);
}

void calls_getpeername(struct run *run, struct endpoint *endpoint, const struct notice *notice,
		       int theirs)
{
	(void)theirs;
	if (endpoint->state == ENDPOINT_CONNECTED)
		tell(run, notice, &endpoint->peer);
	else
		notice_answer(&run->notices, notice->id, -ENOTCONN);
}
