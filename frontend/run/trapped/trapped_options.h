/* SPDX-License-Identifier: GPL-2.0-or-later */
/* setsockopt() and getsockopt(). */
#ifndef TRAPPED_TRAPPED_OPTIONS_H
#define TRAPPED_TRAPPED_OPTIONS_H

#include "run/endpoints/endpoint.h"

/* Handlers, see trapped_answer.h. */
void trapped_setsockopt(struct endpoint *endpoint, const struct trapped_call *call, int theirs);
void trapped_getsockopt(struct endpoint *endpoint, const struct trapped_call *call, int theirs);
/* The buffer size the program asked for its end, or 0. */
int trapped_options_buffer(const struct endpoint *endpoint);

#endif
