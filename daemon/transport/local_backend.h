/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The engine's end of the local transport. */
#ifndef TRANSPORT_LOCAL_BACKEND_H
#define TRANSPORT_LOCAL_BACKEND_H

#include <stddef.h>

#include "transport/transport.h"

/*
 * The engine's end for one guest, made of the descriptors that the supervisor's end handed over.
 * Returns 0 and *transport, which owns them, or -errno with all of them closed: -EINVAL for another
 * number of them.
 */
int local_backend_open(struct transport **transport, const int *descriptors, size_t count);

#endif
