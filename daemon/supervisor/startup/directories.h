/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The directories the daemon works in: made where that is safe, and held against a second daemon.
 */
#ifndef SUPERVISOR_STARTUP_DIRECTORIES_H
#define SUPERVISOR_STARTUP_DIRECTORIES_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "supervisor/settings/daemon_options.h"

/* Zeroed paths are unset; descriptors that are not open are -1. */
struct directories {
	char state[PATH_MAX];
	char runtime[PATH_MAX];
	char plugins[PATH_MAX];
	char engine[PATH_MAX]; /* path of pvcalls-engine */
	char auditd[PATH_MAX]; /* path of pvcalls-auditd */
	int audit_fd;          /* O_DIRECTORY of STATE_DIR/audit */
	int state_lock;
	int runtime_lock;
};

/*
 * Finds plugins and programs, from where this program itself lies. Returns 0 or -errno: -EPERM for
 * a program that others could change.
 */
int directories_find(struct directories *directories, const struct daemon_options *options,
		     struct fault *fault);
/*
 * Makes the last component of state and runtime directory where it is missing, takes both locks,
 * and opens the audit directory for its user (UINT32_MAX: ours). Returns 0, -EBUSY when another
 * daemon holds one, or another -errno.
 */
int directories_take(struct directories *directories, const struct daemon_options *options,
		     uint32_t audit_uid, struct fault *fault);
void directories_release(struct directories *directories);

#endif
