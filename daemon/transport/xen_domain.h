/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the hypervisor itself says of domains. */
#ifndef TRANSPORT_XEN_DOMAIN_H
#define TRANSPORT_XEN_DOMAIN_H

#include <stdbool.h>
#include <stdint.h>

/* Whether this domain exists and is not dying. False too if the hypervisor can't be asked. */
bool xen_domain_lives(uint32_t domid);

#endif
