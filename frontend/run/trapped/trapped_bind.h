/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TRAPPED_TRAPPED_BIND_H
#define TRAPPED_TRAPPED_BIND_H

#include <pvcalls/frontend.h>

#include "run/endpoints/endpoint.h"

/* bind(): a handler, see trapped_answer.h. */
void trapped_bind(struct endpoint *endpoint, const struct trapped_call *call, int theirs);
/* Sends BIND; done gets the outcome, with the endpoint as its context. 0 or -errno. */
int trapped_bind_start(struct endpoint *endpoint, const struct sockaddr_in *address,
		       pvcalls_front_done done);

#endif
