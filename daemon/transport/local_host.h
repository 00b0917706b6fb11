/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The supervisor's end of the local transport. */
#ifndef TRANSPORT_LOCAL_HOST_H
#define TRANSPORT_LOCAL_HOST_H

#include "transport/device.h"

/*
 * Starts the local transport: RUNTIME_DIR/local.sock. Returns 0 and *transport, or -errno with
 * *fault. events and loop must outlive it.
 */
int local_host_listen(struct transport_host **transport, const char *runtime_dir, struct loop *loop,
		      const struct device_events *events, struct fault *fault);

#endif
