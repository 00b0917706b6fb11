/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stands in for libxenstore, libxengnttab and libxenevtchn in a test program: one device, whose
 * backend answers each state we write at once, unless it is told to fail.
 */
#ifndef TESTS_FRONTEND_FAKE_XEN_H
#define TESTS_FRONTEND_FAKE_XEN_H

#include <stdbool.h>
#include <stdint.h>

#define FAKE_BACKEND "/local/domain/0/backend/pvcalls/7/0"
#define FAKE_DEVICE  "device/pvcalls/0"

struct fake_xen {
	/* Faults, set by the test. */
	bool no_xenstore;
	bool mute;          /* the backend answers nothing */
	bool refuse;        /* it closes instead of connecting */
	uint32_t conflicts; /* transactions that fail before one is done */
	uint32_t limit;     /* pages that may be shared; 0: any number */
	uint32_t ports_max; /* event channels there are; 0: any number */
	bool port_beyond;   /* the next event channel has a number too large for us */
	const char *evtchn; /* a file to open for event channels; NULL: a socket pair */
	/* What was seen. */
	char said[64];         /* the states we wrote, one digit each */
	uint32_t transactions; /* that were done */
	uint32_t plain;        /* writes outside of one */
	uint32_t pages;        /* shared now */
	uint32_t ports;        /* open now */
	uint32_t notified;
	int driver; /* the other end of the event channels' socket pair */
};

extern struct fake_xen fake_xen;

/* Starts anew: a device in this state on both sides, no faults. */
void fake_xen_reset(const char *own_state, const char *backend_state);
/* A node's value, NULL if it is not there. */
const char *fake_xen_node(const char *path);
/* Writes a node as somebody else would, with a watch event if it is the backend's state. */
void fake_xen_set(const char *path, const char *value);
/* Removes both directories, as the toolstack does. */
void fake_xen_remove(void);

#endif
