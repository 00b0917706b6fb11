/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TRAPPED_TRAPPED_LISTEN_H
#define TRAPPED_TRAPPED_LISTEN_H

#include "run/endpoints/endpoint.h"

/* listen(): a handler, see trapped_answer.h. */
void trapped_listen(struct endpoint *endpoint, const struct trapped_call *call, int theirs);

#endif
