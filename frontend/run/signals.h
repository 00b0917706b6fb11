/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Signals to us and the processes below us. */
#ifndef RUN_SIGNALS_H
#define RUN_SIGNALS_H

#include "run.h"

/* Blocks the signals we handle; before COMMAND is forked. Returns a signalfd or -errno. */
int signals_open(void);
/* Takes signals: passes them on to COMMAND, reaps whoever ended. */
void signals_event(struct source *source, uint32_t events);
/* Kills and reaps every process that is left of COMMAND. */
void signals_kill_rest(void);

#endif
