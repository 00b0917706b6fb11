/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stands in for the transport: a device without a guest. */
#ifndef TESTS_SUPERVISOR_FAKE_DEVICE_H
#define TESTS_SUPERVISOR_FAKE_DEVICE_H

#include <stdbool.h>
#include <stddef.h>

#include "transport/device.h"

/*
 * A device whose nodes the test writes, and which remembers what was written to it: `written` has
 * 'n' for a transaction that begins with other nodes than the state, and each state.
 */
struct fake_device {
	struct device device;
	struct transport_host host;
	struct device_node nodes[8]; /* the frontend's */
	char written[64];
	bool dropped;
	char why[256]; /* it was dropped */
};

void fake_device_init(struct fake_device *fake, const char *name);
/* Sets a node of the frontend's; an empty value takes it away. */
void fake_device_set(struct fake_device *fake, const char *key, const char *value);

#endif
