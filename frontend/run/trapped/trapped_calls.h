/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which handler serves which trapped call. */
#ifndef TRAPPED_TRAPPED_CALLS_H
#define TRAPPED_TRAPPED_CALLS_H

#include "run/endpoints/endpoint_table.h"

/* Takes one waiting call and handles it. */
void trapped_calls_serve(struct endpoint_table *table);

#endif
