/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The session with the backend: one device, one command ring, calls and their answers.
 *
 * A call is queued and answered later, by the event of the command ring; nobody sleeps in here. The
 * driver's own calls wait in the caller's context, not to be interrupted, and use the number of the
 * ring's slot as req_id, which isn't unique while an ACCEPT waits. So the device's life and the
 * event handler are the driver's, the calls are ours.
 */
#ifndef PVCALLS_HOOK_SESSION_H
#define PVCALLS_HOOK_SESSION_H

#include <linux/list.h>
#include <linux/types.h>
#include <xen/events.h>
#include <xen/interface/io/pvcalls.h>
#include <xen/xen.h>

struct session_call {
	struct xen_pvcalls_request request;
	struct list_head node;
	/* The answer is there, or will never be (-ENETDOWN). Called in any context. */
	void (*done)(struct session_call *call);
	int result;
	u32 port;   /* what a backend with names says to BIND and LISTEN: the bound port */
	u32 ticket; /* of a parked call */
	bool answered;
};

/* What a ring needs to know of the other end. */
struct session_peer {
	domid_t domid;
	unsigned int order_max;
	unsigned int generation; /* a ring of another generation is of no use any more */
	bool names;
	bool names_on_demand; /* a socket's own name is there when it is asked for */
	bool reuse;           /* pages may stay mapped for the connection that brings them again */
	bool half_close;      /* it takes the end of what a socket writes */
};

int session_register(void);
void session_unregister(void);

/* Returns -ENETDOWN if there is no backend. */
int session_peer(struct session_peer *peer);

/* Queues the calls in this order; each one's done() is called once. */
void session_submit(struct session_call *const calls[], unsigned int count);

/*
 * The backend will never answer this ACCEPT: its listener has been released. Returns false if the
 * answer has come or will come, because this backend answers ACCEPTs of released listeners.
 */
bool session_forget(struct session_call *call);

/* For the rogue: the command page, or NULL. */
struct xen_pvcalls_sring *session_page(int *irq);
const char *session_node(void);

/* The session ended: defined by the sockets. */
void sockets_lost(void);

#endif
