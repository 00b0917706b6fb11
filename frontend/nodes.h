/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The text of xenstore nodes: "key=value" lines, and numbers. */
#ifndef FRONTEND_NODES_H
#define FRONTEND_NODES_H

#include <stdbool.h>
#include <stdint.h>

#include "transport.h"

#define NODE_KEY_MAX 32u

/* Takes the next line of *lines apart and moves behind it. False: none is left, or it is not one.
 */
bool node_next(const char **lines, char key[NODE_KEY_MAX], char value[FRONT_VALUE_MAX]);
/* A decimal number without sign or blanks, at most max. 0 and *number, or -EINVAL. */
int node_number(const char *text, uint32_t max, uint32_t *number);
/* The state that a node's text says; FRONT_UNKNOWN: none that a frontend has to do with. */
enum front_state node_state(const char *text);

#endif
