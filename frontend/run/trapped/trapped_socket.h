/* SPDX-License-Identifier: GPL-2.0-or-later */
/* socket() and shutdown(). */
#ifndef TRAPPED_TRAPPED_SOCKET_H
#define TRAPPED_TRAPPED_SOCKET_H

#include "run/endpoints/endpoint_table.h"

/* socket(): makes an endpoint, and gives the program its end. */
void trapped_socket(struct endpoint_table *table, const struct trapped_call *call);
/* shutdown(): a handler, see trapped_answer.h. */
void trapped_shutdown(struct endpoint *endpoint, const struct trapped_call *call, int theirs);

#endif
