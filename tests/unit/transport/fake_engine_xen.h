/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stands in for libxengnttab and libxenevtchn at the engine's end: a guest that grants its first
 * pages, and a socket pair whose other end is the kernel's driver for event channels: each write of
 * the engine arrives there as one message, each message sent there is what one read takes.
 */
#ifndef TESTS_TRANSPORT_FAKE_ENGINE_XEN_H
#define TESTS_TRANSPORT_FAKE_ENGINE_XEN_H

#include <stdbool.h>
#include <stdint.h>

struct fake_engine_xen {
	/* Faults, set by the test: errno values. */
	int no_grants;
	int no_events;
	int restricting;
	int mapping;
	int binding;
	/* Set by the test. */
	bool overfull;      /* the driver has lost events and tells of none until it is reset */
	uint32_t granted;   /* references below this are granted */
	uint32_t next_port; /* the local port of the next binding */
	/* What was seen. */
	uint32_t domid; /* for which was mapped and bound last */
	uint32_t restricted;
	uint32_t refs[8]; /* the first ones of the last mapping */
	uint32_t maps;    /* attempts at one */
	uint32_t pages;   /* mapped now */
	uint32_t bound;   /* ports bound now */
	uint32_t unbound; /* the port that was unbound last */
	uint32_t notified;
	uint32_t handles; /* open now */
	int driver;       /* the other end of the event channels */
};

extern struct fake_engine_xen fake_xen;

#endif
