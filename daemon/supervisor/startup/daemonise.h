/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Going into the background, with the caller waiting until everything serves. */
#ifndef SUPERVISOR_STARTUP_DAEMONISE_H
#define SUPERVISOR_STARTUP_DAEMONISE_H

/*
 * Forks. In the child returns the descriptor on which it tells the parent what came of the start;
 * the parent waits for that and exits. Returns -errno if there is no child.
 */
int daemonise_begin(void);
/* Tells the parent that the start ended with this exit status; closes the descriptor. */
void daemonise_tell(int *descriptor, int status);
/* Everything serves: lets go of the caller's terminal; standard error becomes log_fd. */
void daemonise_detach(int log_fd);

#endif
