/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The run queue: connections that have work, served round robin, a bounded pass at a time. */
#ifndef ENGINE_CONNECTIONS_RUN_QUEUE_H
#define ENGINE_CONNECTIONS_RUN_QUEUE_H

#include <stdbool.h>

struct connection;
struct connections;

/* Puts a connection at the end, unless it is queued or belongs to no socket. */
void run_queue_add(struct connection *connection);
/* Takes it out, if it is queued. */
void run_queue_remove(struct connection *connection);
/* Queues polled connections that have work, and unmasks those that had none for long. */
void run_queue_poll(struct connections *connections);
/*
 * Serves each connection that was queued before this call once: at most CONNECTIONS_BYTES_PER_TURN
 * in each direction. Ends early if the guest breaks the protocol. Returns whether anything moved.
 */
bool run_queue_serve(struct connections *connections);

#endif
