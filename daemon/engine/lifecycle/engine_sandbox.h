/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an engine gives up before it looks at the first byte of its guest: root, every capability
 * but CAP_NET_BIND_SERVICE where configured, and every system call that it does not need.
 */
#ifndef ENGINE_LIFECYCLE_ENGINE_SANDBOX_H
#define ENGINE_LIFECYCLE_ENGINE_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"
#include "transport/transport.h"

/* Becomes uid (UINT32_MAX: stays who it is) and drops capabilities. Returns 0 or -errno. */
int engine_sandbox_drop_privileges(uint32_t uid, bool low_ports, struct fault *fault);
/* The first port that this process may bind to, by its capabilities and the kernel's setting. */
uint32_t engine_sandbox_first_port(void);
/* Raises the limit of descriptors to what `sockets` guest sockets need. Returns 0 or -errno. */
int engine_sandbox_raise_limits(uint32_t sockets, struct fault *fault);
/*
 * Closes the sandbox: from here on a system call outside of the list, or an ioctl that transport
 * does not name, kills the engine. Returns 0 or -errno.
 */
int engine_sandbox_close(const struct transport *transport, struct fault *fault);

#endif
