/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A frontend: what it shares with its backend, and what they agreed on. */
#ifndef LIBRARY_FRONT_H
#define LIBRARY_FRONT_H

#include <stdbool.h>
#include <stdint.h>

#include <pvcalls/frontend.h>

#include "base/busy_poll.h"
#include "library/call_queue.h"
#include "library/ring_pool.h"
#include "transports/front_transport.h"

struct pvcalls_front {
	struct front_transport *transport;
	enum pvcalls_front_transport kind;
	struct call_queue calls;
	struct ring_pool pool;
	uint32_t command_port;
	uint32_t max_order;
	bool names;           /* the backend tells addresses ... */
	bool names_on_demand; /* ... and a socket's own when it is asked for */
	bool half_close;      /* it takes the end of what a socket writes */
	bool corked;          /* by the caller */
	bool dispatching;
	int error;          /* -errno: the backend is gone, or broke the rules */
	uint32_t releasing; /* RELEASEs pending */
	struct pvcalls_front_socket *sockets;
	struct pvcalls_front_socket *free_sockets;
	uint64_t next_id;
	struct pvcalls_front_socket **by_port; /* FRONT_PORTS; NULL: no socket's */
	int fd;                                /* epoll over the transport's descriptors */
	uint32_t dispatches;
	uint64_t store_seen_ns; /* when the backend's nodes were last looked at */
	struct busy_poll poll;
};

#endif
