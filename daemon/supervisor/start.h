/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bringing the daemon up, step by step, and down again. */
#ifndef SUPERVISOR_START_H
#define SUPERVISOR_START_H

#include "supervisor/supervisor.h"

/*
 * Brings everything up; returns when all of it serves. Returns STATUS_OK, or the exit status with
 * supervisor->fault. supervisor_release() is needed in both cases.
 */
enum exit_status supervisor_start(struct supervisor *supervisor);
/* Checks configuration, policies and plugins; prints what was found. */
enum exit_status supervisor_check(struct supervisor *supervisor);
/* Ends guests, stores the last record, and lets the writer finish. */
void supervisor_stop(struct supervisor *supervisor);
/* Frees whatever there is. */
void supervisor_release(struct supervisor *supervisor);

#endif
