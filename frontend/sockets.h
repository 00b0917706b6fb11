/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sockets of the library: what a finished call does to them, and their memory. */
#ifndef FRONTEND_SOCKETS_H
#define FRONTEND_SOCKETS_H

#include "front.h"

/* CONNECT was answered; returns the result the caller shall see. */
int socket_connected(struct pvcalls_front_socket *socket, int result);
/*
 * ACCEPT was answered for this new socket. Returns it if it lives and is wanted; otherwise NULL and
 * it was ended.
 */
struct pvcalls_front_socket *socket_accepted(struct pvcalls_front_socket *socket, int result,
					     bool unwanted);
/* Gives everything of a socket back; no call may be in flight on it. */
void socket_free(struct pvcalls_front_socket *socket);

#endif
