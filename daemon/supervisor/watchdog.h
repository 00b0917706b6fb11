/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds engines that hang, and kills them. */
#ifndef SUPERVISOR_WATCHDOG_H
#define SUPERVISOR_WATCHDOG_H

#include "supervisor/engines.h"

/* Arms the watchdog if an engine is attached and it is not armed. */
void watchdog_wake(struct engines *engines);
/* An engine has answered. */
void watchdog_pong(struct engine *engine, uint64_t number);

#endif
