/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The whole daemon: everything of it, started, run and stopped in order. */
#ifndef SUPERVISOR_STARTUP_SUPERVISOR_H
#define SUPERVISOR_STARTUP_SUPERVISOR_H

#include "supervisor/settings/daemon_options.h"
#include "supervisor/settings/exit_status.h"

/* Runs the daemon until it is told to stop, or --check-config. Returns the exit status. */
enum exit_status supervisor_main(const struct daemon_options *options, const char *version);

#endif
