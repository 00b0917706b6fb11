/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reset mark: a byte by which the program is told of a reset. */
#ifndef ENDPOINTS_RESET_MARK_H
#define ENDPOINTS_RESET_MARK_H

#include <stdbool.h>

#include "run/endpoints/endpoint.h"

/*
 * Puts the mark behind what the program wrote, by its end (borrowed), unless it is there. Not
 * possible, and left out, when the program's direction has ended or its buffer is full.
 */
void reset_mark_set(struct endpoint *endpoint, int theirs);
/* Whether the program's bytes have all been taken, and only the mark is left. */
bool reset_mark_reached(struct endpoint *endpoint);
/* Takes out what is left in our end, mark or not: closing it is no reset then. */
void reset_mark_clear(const struct endpoint *endpoint);

#endif
