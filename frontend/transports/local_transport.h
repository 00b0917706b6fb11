/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The local transport: to a pvcallsd on this machine. */
#ifndef TRANSPORTS_LOCAL_TRANSPORT_H
#define TRANSPORTS_LOCAL_TRANSPORT_H

#include <stdint.h>

#include "transports/front_transport.h"

/*
 * Connects to RUNTIME_DIR/local.sock as the guest `name` with a memory of that many bytes, waiting
 * up to timeout_ms for the welcome. 0 and *transport, or -errno with a line in why (may be NULL).
 */
int local_transport_open(struct front_transport **transport, const char *runtime_dir,
			 const char *name, uint64_t memory, uint32_t timeout_ms, char *why);

#endif
