/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The text of xenstore nodes: "key=value" lines, and numbers. */
#ifndef TRANSPORTS_NODE_TEXT_H
#define TRANSPORTS_NODE_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "transports/front_transport.h"

#define NODE_KEY_MAX 32u

/* Takes the next line of *lines apart and moves behind it. False: none is left, or it is not one.
 */
bool node_text_next(const char **lines, char key[NODE_KEY_MAX], char value[FRONT_VALUE_MAX]);
/* A decimal number without sign or blanks, at most max. 0 and *number, or -EINVAL. */
int node_text_number(const char *text, uint32_t max, uint32_t *number);
/* The state that a node's text says; FRONT_UNKNOWN: none that a frontend has to do with. */
enum front_state node_text_state(const char *text);

#endif
