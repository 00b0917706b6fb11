/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Probes of listening sockets. */
#ifndef TESTS_FRONTEND_PROBE_LISTENER_H
#define TESTS_FRONTEND_PROBE_LISTENER_H

void probe_accept(void);
void probe_accept_edges(void);
void probe_accept_waiters(void);
void probe_accept_killed(void);
void probe_accept_interrupted(void);
void probe_bind_failures(void);

#endif
