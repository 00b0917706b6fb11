/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Polled connections: those that have just done their work and whose next work is found by a look
 * at the shared indexes, each turn, instead of by an event.
 *
 * Theory of operation. A connection's port is masked from the guest's event on. One that has done
 * its work stays masked for a while, which costs the guest and us no event for the next. It is
 * unmasked when looking has found nothing for CONNECTIONS_POLLED_TURNS turns, when more than
 * CONNECTIONS_POLLED_MAX would be looked at, or when the engine is about to sleep. A guest that
 * storms events costs one pass of the run queue for each turn.
 */
#ifndef ENGINE_CONNECTIONS_POLLED_H
#define ENGINE_CONNECTIONS_POLLED_H

#include <stdbool.h>

struct connection;
struct connections;

/* Polls a connection that has no work now, if it is masked; where there is no room, unmasks it. */
void polled_add(struct connection *connection);
/* Ends that, if it is polled; it stays masked. */
void polled_remove(struct connection *connection);
/* Lets the guest's events to a connection come again, if it is masked. */
void polled_unmask(struct connection *connection);
/* Unmasks all polled connections: from here on only events tell of work. */
void polled_unmask_all(struct connections *connections);
/* Whether a started connection has work, as its pages and its socket say. */
bool polled_has_work(const struct connection *connection);
/* Whether a polled connection has work. */
bool polled_have_work(const struct connections *connections);

#endif
