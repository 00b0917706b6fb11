/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds engines that hang, and kills them. */
#ifndef SUPERVISOR_CHILDREN_ENGINE_WATCHDOG_H
#define SUPERVISOR_CHILDREN_ENGINE_WATCHDOG_H

#include "supervisor/children/engine_processes.h"

/* An engine is attached: the watchdog is armed, if it is not. */
void engine_watchdog_wake(struct engine_processes *engines);

#endif
