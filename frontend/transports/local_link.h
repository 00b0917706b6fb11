/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The guest's end of RUNTIME_DIR/local.sock: messages, and the backend's nodes they bring. */
#ifndef TRANSPORTS_LOCAL_LINK_H
#define TRANSPORTS_LOCAL_LINK_H

#include <stddef.h>
#include <stdint.h>

#include "transports/front_transport.h"

#define LOCAL_LINK_NODES_MAX 16u
#define LOCAL_LINK_KEY_MAX   32u

/* What WELCOME brings; owned by the receiver. */
enum {
	LOCAL_LINK_EVENTS,
	LOCAL_LINK_BACKEND_EVENTFD,
	LOCAL_LINK_OUR_EVENTFD,
	LOCAL_LINK_WELCOME_FDS
};

struct local_link {
	int fd;
	uint32_t nodes;
	struct {
		char key[LOCAL_LINK_KEY_MAX];
		char value[FRONT_VALUE_MAX];
	} node[LOCAL_LINK_NODES_MAX];
};

/* Connects to the daemon's socket. 0, or -errno with a line in why. */
int local_link_open(struct local_link *link, const char *runtime_dir, char *why);
void local_link_close(struct local_link *link);
/*
 * Says HELLO as `name` with this memory and waits for WELCOME. 0 with its descriptors in fds, or
 * -errno with a line in why.
 */
int local_link_hello(struct local_link *link, const char *name, int memory_fd, uint32_t timeout_ms,
		     int fds[LOCAL_LINK_WELCOME_FDS], char *why);
int local_link_write(struct local_link *link, const char *lines);
int local_link_read(const struct local_link *link, const char *key, char value[FRONT_VALUE_MAX]);
/* See front_transport_ops.refresh. */
int local_link_refresh(struct local_link *link, char *why);

#endif
