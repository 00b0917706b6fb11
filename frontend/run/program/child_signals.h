/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Signals, and the ends of our children: COMMAND, and what it left behind. */
#ifndef PROGRAM_CHILD_SIGNALS_H
#define PROGRAM_CHILD_SIGNALS_H

#include <stdbool.h>
#include <sys/types.h>

#include "run/program/event_source.h"

/* COMMAND, as seen by its signals. */
struct child_signals {
	struct event_source source;
	pid_t command; /* who gets signals that are sent to us */
	int status;    /* to exit with, once COMMAND has ended */
	bool ended;
};

/* Blocks the signals we handle; before COMMAND is forked. Returns a signalfd or -errno. */
int child_signals_open(void);
/*
 * Takes signals, of the source in a struct child_signals: passes them on to COMMAND, reaps whoever
 * ended.
 */
void child_signals_event(struct event_source *source, uint32_t events);
/* Kills and reaps every process that is left of COMMAND. */
void child_signals_kill_rest(void);

#endif
