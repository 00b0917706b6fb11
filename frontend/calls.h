/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls on their way: made, queued, pushed, matched with their response, finished. */
#ifndef FRONTEND_CALLS_H
#define FRONTEND_CALLS_H

#include "front.h"

/* A call with command and id filled in; NULL: no memory. Queue it or free it. */
struct front_call *call_new(struct pvcalls_front_socket *socket, uint32_t cmd,
			    pvcalls_front_done done, void *context);
void call_free(struct pvcalls_front *front, struct front_call *call);
/* Queues a call; it goes out with the next front_flush(). */
void call_queue(struct front_call *call);
/* Finishes every call with error. */
void calls_fail(struct pvcalls_front *front, int error);

/* Calls with this context finish unseen; what they accept is released. */
void calls_forget(struct pvcalls_front *front, const void *context);

#endif
