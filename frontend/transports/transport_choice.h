/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which transport a frontend takes. */
#ifndef TRANSPORTS_TRANSPORT_CHOICE_H
#define TRANSPORTS_TRANSPORT_CHOICE_H

#include <stdbool.h>

#include <pvcalls/frontend.h>

#include "transports/front_transport.h"

/* Whether the system whose files are below root ("" for ours) is a Xen domain with a xenbus. */
bool transport_choice_is_xen(const char *root);
/*
 * The transport for these options: the one they name, else local if they say where its daemon is,
 * else xen if this domain has a PV Calls device (asked only then), else local.
 */
enum pvcalls_front_transport transport_choice_kind(const struct pvcalls_front_options *options,
						   bool (*has_device)(void));
/* Opens it. 0 with *kind and *transport, or -errno with a line in why. */
int transport_choice_open(const struct pvcalls_front_options *options,
			  enum pvcalls_front_transport *kind, struct front_transport **transport,
			  char *why);

#endif
