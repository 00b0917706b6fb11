/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The loop of pvcalls-run: COMMAND's calls, its sockets and the backend, until COMMAND has ended.
 */
#ifndef RUN_RUN_LOOP_H
#define RUN_RUN_LOOP_H

#include <stdbool.h>

#include "run/endpoints/endpoint_table.h"
#include "run/program/child_signals.h"
#include "run/program/event_source.h"

/* Zeroed; table.front, table.epoll_fd and child.command are set before run_loop_watch(). */
struct run_loop {
	struct endpoint_table table;
	struct child_signals child;
	struct event_source front_source;
	struct event_source trap_source;
	bool front_event; /* the frontend's descriptor was readable */
};

/* Watches the frontend, the trap's descriptor and the signalfd (borrowed). 0 or -errno. */
int run_loop_watch(struct run_loop *loop, int trap_fd, int signal_fd);
/* Serves COMMAND until it has ended. */
void run_loop_serve(struct run_loop *loop);
/* COMMAND has ended: what it wrote still goes out, as long as that makes progress. */
void run_loop_flush(struct run_loop *loop);

#endif
