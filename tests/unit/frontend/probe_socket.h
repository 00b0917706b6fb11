/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the probes share. A probe ends the process with status 1 at the first thing that is wrong.
 */
#ifndef TESTS_FRONTEND_PROBE_SOCKET_H
#define TESTS_FRONTEND_PROBE_SOCKET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

void probe_check(bool good, const char *where, int line, const char *what);
void probe_check_fails(long result, int error, const char *where, int line, const char *what);

#define CHECK(condition)   probe_check((condition), __func__, __LINE__, #condition)
#define FAILS(call, error) probe_check_fails((call), (error), __func__, __LINE__, #call)

struct sockaddr_in to(uint16_t port);
int connect_to(int fd, uint16_t port);
/* A TCP socket; flags: SOCK_NONBLOCK, SOCK_CLOEXEC. */
int tcp(int flags);
int connected(uint16_t port);
short polled(int fd, short events, int timeout);
int pending_error(int fd);
void write_all(int fd, const char *bytes, size_t size);
void read_all(int fd, char *bytes, size_t size);
/* Sends size bytes and checks that they come back. */
void echo(int fd, size_t size);
/* Sends this process a signal that interrupts calls, in 50 ms; flags: of sigaction(2). */
void alarm_soon(int flags);
/* Waits for a child, which must end with status 0. */
void await_child(pid_t pid);

/* Probes of listening sockets. */
void probe_accept(void);
void probe_accept_edges(void);
void probe_accept_waiters(void);
void probe_accept_killed(void);
void probe_accept_interrupted(void);
void probe_bind_failures(void);

#endif
