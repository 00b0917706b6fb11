/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asking the kernel over netlink: one request, and all messages of its answer. */
#ifndef POLICY_HOST_VIEW_NETLINK_H
#define POLICY_HOST_VIEW_NETLINK_H

#include <linux/netlink.h>
#include <stddef.h>
#include <stdint.h>

#define NETLINK_BUFFER 32768 /* bytes: what the kernel fills per message of a dump, at most */

/* Called for each message of an answer. Returns 0, or -errno to give up. */
typedef int (*netlink_fn)(void *context, const struct nlmsghdr *message);

/* A socket of this protocol, subscribed to groups (a mask, or 0). A descriptor or -errno. */
int netlink_open(int protocol, uint32_t groups);
/*
 * Sends a dump request and calls step for each message of the answer. Waits at most a second.
 * Returns 0, -EAGAIN when the answer was torn by a change (ask again), or another -errno.
 */
int netlink_dump(int fd, struct nlmsghdr *request, netlink_fn step, void *context);
/*
 * Calls step for each message that waits on a subscribed socket, without waiting. Returns 0,
 * -ENOBUFS when some were lost, or another -errno.
 */
int netlink_drain(int fd, netlink_fn step, void *context);

#endif
