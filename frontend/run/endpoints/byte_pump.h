/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pump: moves bytes between our ends of the pairs and the data rings. */
#ifndef ENDPOINTS_BYTE_PUMP_H
#define ENDPOINTS_BYTE_PUMP_H

#include "run/endpoints/endpoint_table.h"

/* Starts pumping for an endpoint that became CONNECTED; its remote is watched from now on. */
void byte_pump_start(struct endpoint *endpoint);
/* Moves what can be moved, a fair share of each endpoint. Returns whether there is more to do. */
bool byte_pump_turn(struct endpoint_table *table);

#endif
