/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bringing the daemon up, step by step. */
#ifndef SUPERVISOR_STARTUP_SUPERVISOR_START_H
#define SUPERVISOR_STARTUP_SUPERVISOR_START_H

#include "supervisor/settings/exit_status.h"

struct supervisor;

/*
 * Brings everything up; returns when all of it serves. Returns STATUS_OK, or the exit status with
 * supervisor->fault. supervisor_release() is needed in both cases.
 */
enum exit_status supervisor_start(struct supervisor *supervisor);
/* Checks configuration, policies and plugins; prints what was found. Returns as the above. */
enum exit_status supervisor_check(struct supervisor *supervisor);

#endif
