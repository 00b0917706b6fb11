/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The files in which engines leave to their successors what these must know (ipc/recovery_log.h):
 * one for each guest whose rings outlive an engine, RUNTIME_DIR/DOMID.recovery.
 *
 * The file's lock belongs to the open file that supervisor and engine share, so it is free when
 * both have ended: a supervisor that was killed leaves engines behind for a moment, and two of them
 * must not serve the same rings.
 */
#ifndef SUPERVISOR_GUESTS_RECOVERY_LOGS_H
#define SUPERVISOR_GUESTS_RECOVERY_LOGS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Opens the guest's recovery log for an engine of so many sockets, locked; fresh: without content.
 * Returns its descriptor; -EWOULDBLOCK while an engine of the guest still lives; or -errno.
 */
int recovery_logs_open(const char *runtime_dir, uint32_t domid, uint32_t sockets, bool fresh);
/* The guest is gone. */
void recovery_logs_remove(const char *runtime_dir, uint32_t domid);

#endif
