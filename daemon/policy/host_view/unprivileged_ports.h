/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ports that the kernel lets anybody bind to, in this network namespace. */
#ifndef POLICY_HOST_VIEW_UNPRIVILEGED_PORTS_H
#define POLICY_HOST_VIEW_UNPRIVILEGED_PORTS_H

#include <stdint.h>

/* The first of them: 1024 unless it was changed (net.ipv4.ip_unprivileged_port_start). */
uint32_t unprivileged_ports_first(void);

#endif
