/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pump: moves bytes between our ends of the pairs and the data rings. */
#ifndef RUN_PUMP_H
#define RUN_PUMP_H

#include "run.h"

/* Our end of an endpoint's pair has events. */
void pump_event(struct source *source, uint32_t events);
/* Starts pumping for an endpoint that became CONNECTED; its remote is watched from now on. */
void pump_start(struct endpoint *endpoint);
/* Moves what can be moved, a fair share of each endpoint. Returns whether there is more to do. */
bool pump_turn(struct run *run);

#endif
