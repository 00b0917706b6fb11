/* SPDX-License-Identifier: GPL-2.0-or-later */
/* File descriptors: closing them when a scope ends, and passing them over Unix sockets. */
#ifndef BASE_FD_H
#define BASE_FD_H

#include <stddef.h>
#include <sys/types.h>

#define FDS_PER_MESSAGE 8 /* descriptors that fit one message */

/* Closes *fd if it is not negative, keeps errno, and sets it to -1. */
void fd_close(int *fd);
#define autoclose __attribute__((cleanup(fd_close)))

/*
 * One message of a SOCK_SEQPACKET socket with up to FDS_PER_MESSAGE descriptors. fd_send() borrows
 * the descriptors; never blocks. Returns 0 or -errno (-EAGAIN: the peer does not read).
 */
int fd_send(int socket, const void *data, size_t size, const int *fds, size_t count);
/*
 * Receives one message; the caller owns the descriptors (close-on-exec), unused places are -1.
 * Returns its bytes, 0 at end of file, or -errno; -EMSGSIZE when data or descriptors were cut off
 * (then none is left open).
 */
ssize_t fd_receive(int socket, void *data, size_t size, int fds[FDS_PER_MESSAGE], size_t *count);

#endif
