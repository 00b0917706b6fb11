/* SPDX-License-Identifier: GPL-2.0-or-later */
/* getsockname() and getpeername(). */
#ifndef TRAPPED_TRAPPED_NAMES_H
#define TRAPPED_TRAPPED_NAMES_H

#include "run/endpoints/endpoint.h"

/* Handlers, see trapped_answer.h. */
void trapped_getsockname(struct endpoint *endpoint, const struct trapped_call *call, int theirs);
void trapped_getpeername(struct endpoint *endpoint, const struct trapped_call *call, int theirs);

#endif
