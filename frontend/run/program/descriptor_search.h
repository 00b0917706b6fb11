/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds the process that has a socket, which processes inherit, duplicate and pass on unseen. */
#ifndef PROGRAM_DESCRIPTOR_SEARCH_H
#define PROGRAM_DESCRIPTOR_SEARCH_H

#include <stdint.h>
#include <sys/types.h>

/*
 * Looks for a descriptor of the socket with this inode in the processes that are not in our own
 * network namespace. *number is where it may be, as when a child has inherited it; below 0: not
 * known. Returns 0 with *pid and *number, or -ENOENT. Takes milliseconds where many processes run.
 */
int descriptor_search(uint64_t inode, pid_t *pid, int *number);

#endif
