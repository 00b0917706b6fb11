/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unsettled connections: those whose sockets' options (socket_tune()) are not set yet.
 *
 * What a short connection costs is mostly system calls, and it needs neither option: bytes that are
 * sent first are never held back (RFC 896), and nobody asks for keep-alives within seconds. So both
 * are set before a socket sends a second time, or now and then for all that have come to live.
 * Accepted sockets inherit them from their listener.
 */
#ifndef ENGINE_CONNECTIONS_UNSETTLED_H
#define ENGINE_CONNECTIONS_UNSETTLED_H

struct connection;
struct connections;

/* Notes that a connection, which has just been started, is to be settled some time. */
void unsettled_add(struct connection *connection);
/* Forgets it, if it was noted: it ends. */
void unsettled_remove(struct connection *connection);
/* To be called before bytes are sent: settles it if this is not the first, small send. */
void unsettled_settle_before_send(struct connection *connection);
/* Settles all. */
void unsettled_settle_all(struct connections *connections);

#endif
