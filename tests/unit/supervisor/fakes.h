/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stand-ins for what guests.c works with: a transport, an audit writer, engines. */
#ifndef TESTS_SUPERVISOR_FAKES_H
#define TESTS_SUPERVISOR_FAKES_H

#include <stdbool.h>
#include <stddef.h>

#include "audit/link/audit_link.h"
#include "transport/device.h"

/*
 * A device whose nodes the test writes, and which remembers what was written to it: `written` has
 * a character for each node: its state, or 'n' for another.
 */
struct fake_device {
	struct device device;
	struct transport_host host;
	struct device_node nodes[8]; /* the frontend's */
	char written[64];
	size_t published; /* nodes of the last transaction of more than one */
	bool dropped;
	char why[256]; /* it was dropped */
};

void fake_device_init(struct fake_device *fake, const char *name);
/* Sets a node of the frontend's; an empty value takes it away. */
void fake_device_set(struct fake_device *fake, const char *key, const char *value);

/* What the fake writer was told since fake_writer_forget(). */
unsigned int fake_writer_events(enum audit_event kind);
/* The text of the last event of this kind, or "". */
const char *fake_writer_text(enum audit_event kind);
unsigned int fake_writer_queues(void); /* added and not yet finished */
/* Makes it say that so many queues of ended engines are not stored. */
void fake_writer_backlog(unsigned int count);
void fake_writer_forget(void);

/*
 * Is an engine, whose guest's name says how it behaves: "crash-..." on ATTACH, "hang-..." after it,
 * "stuck-..." does not answer DETACH, "broken-..." says BROKEN after ATTACHED, "fails-..." says
 * FAILED to ATTACH, "mute-..." does not answer STATUS. Returns the exit status.
 */
int fake_engine_main(const char *guest);

#endif
