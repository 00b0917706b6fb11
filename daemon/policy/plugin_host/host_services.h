/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an instance of a plugin may ask of its host: the functions of struct pvcalls_host. */
#ifndef POLICY_PLUGIN_HOST_HOST_SERVICES_H
#define POLICY_PLUGIN_HOST_HOST_SERVICES_H

#include <pvcalls/plugin.h>

struct instance;

/* Fills the table for an instance, whose plugin, context and section are set when it is used. */
void host_services_fill(struct pvcalls_host *host, struct instance *instance);

#endif
