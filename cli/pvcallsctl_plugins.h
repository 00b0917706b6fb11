/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What plugins say of themselves. */
#ifndef PVCALLSCTL_PLUGINS_H
#define PVCALLSCTL_PLUGINS_H

#include <stdbool.h>

#include "pvcallsctl.h"

/*
 * Describes the plugin in file, or (file NULL) each of a directory, on standard output: as text, or
 * as a list of JSON. Returns CTL_OK, CTL_INPUT when one of them is no valid plugin, or CTL_DAEMON
 * when the directory can't be read.
 */
enum ctl_status plugins_show(const char *directory, const char *file, bool as_json);

#endif
