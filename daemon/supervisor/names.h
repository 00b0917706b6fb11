/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Strict reading of names that others chose. */
#ifndef SUPERVISOR_NAMES_H
#define SUPERVISOR_NAMES_H

#include <stdbool.h>

/* Whether name is a guest's name: a letter or digit, then at most 62 of [A-Za-z0-9._-]. */
bool name_is_guest(const char *name);

#endif
