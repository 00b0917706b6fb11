/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Host services that read typed values of a plugin's section; each tells its errors itself. */
#ifndef POLICY_PLUGIN_HOST_PLUGIN_OPTIONS_H
#define POLICY_PLUGIN_HOST_PLUGIN_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include <pvcalls/plugin.h>

/* Fills the read_...() functions of a table that host_services_fill() fills. */
void plugin_options_fill(struct pvcalls_host *host);

/*
 * Whether calls of these operations (a mask) may be denied with this errno (positive, wire
 * numbering): known, and not one that a program takes for success or for "not yet".
 */
bool plugin_error_is_valid(uint32_t error, uint32_t ops);

#endif
