/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The way of a device up and down the xenbus states, and what both sides say on it. */
#ifndef LIBRARY_HANDSHAKE_H
#define LIBRARY_HANDSHAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "transports/front_transport.h"

struct pvcalls_front;

/*
 * Waits up to timeout_ms until the backend offers the device, and takes in what it can do;
 * no_names: addresses are not wanted of it. 0, or -errno with a line in why.
 */
int handshake_take_offer(struct pvcalls_front *front, bool no_names, uint32_t timeout_ms,
			 char *why);
/*
 * Says where the command ring is (its page's grant; its port is the frontend's), and waits up to
 * timeout_ms until the backend is connected. 0, or -errno with a line in why.
 */
int handshake_connect(struct pvcalls_front *front, uint32_t ref, uint32_t timeout_ms, char *why);
/* The backend's state, as last heard. */
enum front_state handshake_backend_state(struct pvcalls_front *front);
/* Says that we close the device, and waits up to timeout_ms for the backend to do so. Returns 0
 * when nothing of ours is mapped any more, or -errno. */
int handshake_close(struct pvcalls_front *front, uint32_t timeout_ms);
/* Says that nothing is shared any more. */
void handshake_closed(struct pvcalls_front *front);

#endif
