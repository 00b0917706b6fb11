/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Xen transport: from a guest without a kernel driver for PV Calls to its backend. */
#ifndef TRANSPORTS_XEN_TRANSPORT_H
#define TRANSPORTS_XEN_TRANSPORT_H

#include <stdint.h>

#include "transports/front_transport.h"

/*
 * Takes this Xen domain's PV Calls device, sharing up to that many bytes, and waits up to
 * timeout_ms until the backend offers it. 0 and *transport, or -errno with a line in why (may be
 * NULL).
 */
int xen_transport_open(struct front_transport **transport, uint64_t memory, uint32_t timeout_ms,
		       char *why);

#endif
