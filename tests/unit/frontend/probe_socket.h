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

struct sockaddr_in probe_to(uint16_t port);
int probe_connect_to(int fd, uint16_t port);
/* A TCP socket; flags: SOCK_NONBLOCK, SOCK_CLOEXEC. */
int probe_tcp(int flags);
int probe_connected(uint16_t port);
short probe_polled(int fd, short events, int timeout);
int probe_pending_error(int fd);
void probe_write_all(int fd, const char *bytes, size_t size);
void probe_read_all(int fd, char *bytes, size_t size);
/* Sends size bytes and checks that they come back. */
void probe_exchange(int fd, size_t size);
/* Sends this process a signal that interrupts calls, in 50 ms; flags: of sigaction(2). */
void probe_alarm_soon(int flags);
/* Waits for a child, which must end with status 0. */
void probe_await_child(pid_t pid);

#endif
