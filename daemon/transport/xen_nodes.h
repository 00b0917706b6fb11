/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading and writing nodes of xenstore, strictly: what a guest wrote may be anything. */
#ifndef TRANSPORT_XEN_NODES_H
#define TRANSPORT_XEN_NODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/device.h"

struct xs_handle;

#define XEN_PATH_MAX 256 /* bytes of a path, with its NUL */

/*
 * Connects to xenstored. NULL with errno set: nobody answers. A xenstored of this domain is asked
 * through its socket only: without it the kernel's xenbus device would wait for ever.
 */
struct xs_handle *xen_nodes_connect(void);
/* Whether the connection still works. */
bool xen_nodes_answer(struct xs_handle *xs);

/*
 * Reads dir/key (dir "": of the domain's own directory) as text without NUL inside. 0, -ENOENT,
 * -E2BIG (longer than size - 1) or another -errno.
 */
int xen_nodes_text(struct xs_handle *xs, const char *dir, const char *key, char *text, size_t size);
/* Reads a decimal number without sign or blanks, at most max. 0, -ENOENT, -EINVAL or -errno. */
int xen_nodes_number(struct xs_handle *xs, const char *dir, const char *key, uint32_t max,
		     uint32_t *number);
/* Reads text as such a number; 0 or -EINVAL. */
int xen_nodes_parse(const char *text, uint32_t max, uint32_t *number);
/*
 * The names in dir that are numbers, at most max of them. Returns their count (0 if there is no
 * such directory), or -errno.
 */
int xen_nodes_list(struct xs_handle *xs, const char *dir, uint32_t *numbers, size_t max);
/*
 * Writes nodes into the device's directory dir as one transaction, if it is there (dir/frontend)
 * and no new one: `written` says that dir/state was written before, so that Initialising, the
 * toolstack's, means another device. 0; -ENOENT: it is not; -EAGAIN: others changed the same nodes
 * too often; or -errno.
 */
int xen_nodes_write(struct xs_handle *xs, const char *dir, bool written,
		    const struct device_node *nodes, size_t count);

#endif
