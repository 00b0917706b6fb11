/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The addresses of a stream, as the backend tells them in its indexes page (feature-names). The
 * socket's own is asked for when it is wanted, if the backend has feature-names-on-demand.
 */
#ifndef LIBRARY_FRONT_NAMES_H
#define LIBRARY_FRONT_NAMES_H

struct pvcalls_front_socket;

/* The socket's ring is in use: takes what the backend tells from the start. */
void front_names_begin(struct pvcalls_front_socket *socket);
/*
 * The socket's ring had an event: whoever asked for its own address is told, if it is there or
 * won't come any more.
 */
void front_names_event(struct pvcalls_front_socket *socket);
/* The frontend has ended: whoever asked is told this negative errno. */
void front_names_fail(struct pvcalls_front_socket *socket, int error);

#endif
