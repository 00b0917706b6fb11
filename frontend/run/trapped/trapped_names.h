/* SPDX-License-Identifier: GPL-2.0-or-later */
/* getsockname() and getpeername(). */
#ifndef TRAPPED_TRAPPED_NAMES_H
#define TRAPPED_TRAPPED_NAMES_H

#include "run/endpoints/endpoint.h"

/*
 * The backend has told the own address of context, an endpoint, or has gone: then there is no more
 * to tell than what is known. The table's local_done.
 */
void trapped_names_local_done(struct pvcalls_front_socket *socket, int result, void *context);
/* Handlers, see trapped_answer.h. */
void trapped_getsockname(struct endpoint *endpoint, const struct trapped_call *call, int theirs);
void trapped_getpeername(struct endpoint *endpoint, const struct trapped_call *call, int theirs);

#endif
