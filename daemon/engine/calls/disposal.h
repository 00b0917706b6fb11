/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The end of a socket's object: what it has is unmapped, closed and counted. */
#ifndef ENGINE_CALLS_DISPOSAL_H
#define ENGINE_CALLS_DISPOSAL_H

#include <stdbool.h>

struct calls;
struct guest_socket;

/*
 * Unmaps, closes and frees a socket that no call holds. reuse: the guest means to bring the same
 * pages again, see mapping_cache.h.
 */
void disposal_free_socket(struct calls *calls, struct guest_socket *socket, bool reuse);
/* The same, but its name stays the guest's until the guest releases it: SOCKET_KILLED. */
void disposal_leave_name(struct calls *calls, struct guest_socket *socket);

#endif
