/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest is told of the addresses of its streams, and when.
 *
 * Theory of operation. A peer's address comes with the call that makes the stream. The socket's own
 * is a system call more, and most programs never look at it. So a frontend that negotiated
 * feature-names-on-demand (ring/indexes_page.h) asks for it in the indexes page, and a stream whose
 * own address nobody asks for has none in the trail. It is read at the start of a stream if a
 * frontend with feature-names alone expects it there, or if engine.local_addresses is `always`; and
 * when both directions have ended with an error, from when on a frontend may not wait for an
 * answer: there may be nobody to give it.
 */
#ifndef ENGINE_CONNECTIONS_LOCAL_NAME_H
#define ENGINE_CONNECTIONS_LOCAL_NAME_H

#include <stdbool.h>

struct connection;

/* The connection has its socket, and its ring is attached: tells the guest what is known. */
void local_name_begin(struct connection *connection);
/* Whether the guest asks for the own address of a started connection's socket. */
bool local_name_is_wanted(const struct connection *connection);
/* Tells it, if it asks and was not told. Returns whether it was: the guest waits for an event. */
bool local_name_answer(struct connection *connection);
/* Tells it, if it was not told: nobody can ask any more. */
void local_name_end(struct connection *connection);

#endif
