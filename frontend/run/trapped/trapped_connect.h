/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TRAPPED_TRAPPED_CONNECT_H
#define TRAPPED_TRAPPED_CONNECT_H

#include "run/endpoints/endpoint.h"

/* connect(): a handler, see trapped_answer.h. */
void trapped_connect(struct endpoint *endpoint, const struct trapped_call *call, int theirs);
/* shutdown() of a socket that is connecting: the attempt ends with ECONNRESET. */
void trapped_connect_stop(struct endpoint *endpoint);

#endif
