/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bringing the daemon down. */
#ifndef SUPERVISOR_STARTUP_SUPERVISOR_STOP_H
#define SUPERVISOR_STARTUP_SUPERVISOR_STOP_H

struct supervisor;

/* Of a daemon that serves: ends guests, stores the last record, and lets auditd finish. */
void supervisor_stop(struct supervisor *supervisor);
/* Frees whatever there is, however far the start came. */
void supervisor_release(struct supervisor *supervisor);

#endif
