/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls on sockets: how they begin (the public functions), and what their outcome does. */
#ifndef LIBRARY_SOCKET_CALLS_H
#define LIBRARY_SOCKET_CALLS_H

#include "library/call_queue.h"

/* The outcome of a call, for struct call_queue: updates its sockets and tells the caller. */
void socket_calls_settle(struct front_call *call, const struct wire_response *response);

#endif
