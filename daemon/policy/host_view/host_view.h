/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the host itself is: its addresses, and the ports it listens on, as the kernel tells them.
 *
 * Addresses come from the kernel's `local` routing table (rtnetlink, table 255: local and broadcast
 * routes) and are followed by notifications. The kernel queues a notification before the change's
 * system call returns, so host_view_refresh(), which drains the socket, makes the view current: an
 * address added a moment ago is already denied. Ports are asked for (sock_diag) at each bind.
 *
 * Whoever has a loop may watch the socket instead (host_view_watch()) and is spared a system call
 * for each look. The view is then as current as the loop's last look at its descriptors: an address
 * that is added while a turn is under way is denied from the next turn on, as it is not denied to a
 * connect(2) that was made a moment before. A turn is bounded by its budgets to some milliseconds,
 * and before a call that has waited is executed the socket is looked at (host_view_look()).
 */
#ifndef POLICY_HOST_VIEW_HOST_VIEW_H
#define POLICY_HOST_VIEW_HOST_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "policy/match/ranges.h"

struct host_view;

/*
 * Opens both netlink sockets and reads the table. Sockets whose owner's uid lies in
 * [guest_uid_first, guest_uid_first + guest_uid_count) are guests', not the host's (count 0: none).
 */
int host_view_open(struct host_view **view, uint32_t guest_uid_first, uint32_t guest_uid_count,
		   struct fault *fault);
/*
 * The same without the ports: the host listens on none. For what is to come out alike whichever
 * servers happen to run.
 */
int host_view_open_addresses(struct host_view **view, struct fault *fault);
/*
 * A view with these addresses ("192.0.2.2", "127.0.0.0/8") and ports for ever: to judge a policy by
 * what another host would say, and for tests. Returns 0, -EINVAL or -ENOMEM.
 */
int host_view_fixed(struct host_view **view, const char *const *addresses, size_t address_count,
		    const uint16_t *ports, size_t port_count);
void host_view_close(struct host_view *view);

/*
 * The descriptor that is readable when something may have changed, -1 if nothing ever does. From
 * here on the caller watches it and calls host_view_changed().
 */
int host_view_watch(struct host_view *view);
/* The watched descriptor is readable, or has an error: reads the notifications. */
void host_view_changed(struct host_view *view);

/*
 * Has the next host_view_refresh() know of changes that the loop has not told of yet, for the price
 * of a recvfrom(2). For a call that has waited: its timer comes before the event of a change.
 */
void host_view_look(struct host_view *view);

/*
 * Brings addresses up to date. Returns 0, or -errno (then the caller denies). Cheap while nothing
 * changes: one recvfrom(2), or none if the view is watched.
 */
int host_view_refresh(struct host_view *view);
/* Whether the IPv4 address (network order) is the host's own, or a broadcast address of it. */
bool host_view_has_address(const struct host_view *view, const uint8_t addr[4]);
/* All of these, in host order, normalised. The view's; what stands there changes with it. */
const struct ranges *host_view_addresses(const struct host_view *view);
/* Whether it is a broadcast address of the host. */
bool host_view_is_broadcast(const struct host_view *view, const uint8_t addr[4]);
/* Ports below this one can't be bound to, whatever a policy says: 0 unless it was set. */
void host_view_set_first_port(struct host_view *view, uint32_t port);
uint32_t host_view_first_port(const struct host_view *view);
/* 1 if the host listens on this TCP port (any address, IPv4 or IPv6), 0 if not, -errno. */
int host_view_listens(struct host_view *view, uint16_t port);

#endif
