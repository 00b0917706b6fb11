/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Carries out what the control socket is asked. */
#ifndef SUPERVISOR_COMMANDS_H
#define SUPERVISOR_COMMANDS_H

#include "supervisor/supervisor.h"

/* Opens the control socket for supervisor. Returns 0 or -errno with *fault. */
int commands_open(struct supervisor *supervisor, struct fault *fault);

#endif
