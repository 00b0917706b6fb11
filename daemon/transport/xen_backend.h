/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engine's end of the Xen transport. */
#ifndef TRANSPORT_XEN_BACKEND_H
#define TRANSPORT_XEN_BACKEND_H

#include <stdint.h>

#include "base/fault.h"
#include "transport/transport.h"

/*
 * The engine's end for a guest of Xen; needs root, and none afterwards. Returns 0 and *transport,
 * or -errno with *fault.
 */
int xen_backend_open(struct transport **transport, uint32_t domid, struct fault *fault);

#endif
