/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is written to and read from a PV Calls device's nodes in xenstore. */
#ifndef SUPERVISOR_GUESTS_GUEST_DEVICE_H
#define SUPERVISOR_GUESTS_GUEST_DEVICE_H

#include "ipc/engine_message.h"
#include "transport/device.h"

/* What the backend offers; the Linux frontend needs exactly "1", at least 4, and "1". */
#define GUEST_VERSIONS                "1"
#define GUEST_MAX_PAGE_ORDER          "9"
#define GUEST_FUNCTION_CALLS          "1"
#define GUEST_FEATURE_NAMES           "1"
#define GUEST_FEATURE_NAMES_ON_DEMAND "1"
#define GUEST_FEATURE_CANCEL          "1"
#define GUEST_FEATURE_REUSE           "1"
#define GUEST_FEATURE_SHUTDOWN        "1"
#define GUEST_FEATURE_PARK            "1"

/* Writes our state. Returns 0 or -errno; device->backend is state in both cases. */
int guest_device_set_state(struct device *device, enum xenbus_state state);
/* Writes what we offer and InitWait, as one transaction. Returns 0 or -errno: then nothing is. */
int guest_device_publish(struct device *device);
/*
 * Reads what the frontend wrote about its ring; take_over is left 0. Returns NULL, or what is wrong
 * with it, as it goes on behind "the guest: ".
 */
const char *guest_device_read_ring(struct device *device, struct engine_attach_args *attach);

#endif
