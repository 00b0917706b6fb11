/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An empty network of this process's own, so that no step of a test can reach anything. */
#ifndef OWN_NETWORK_H
#define OWN_NETWORK_H

/*
 * Moves this process, which has one thread, into a network namespace that has only a loopback
 * device, which is up. Returns 0 or -errno, where that is not permitted.
 */
int own_network_enter(void);

#endif
