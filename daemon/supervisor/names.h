/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Strict reading of names and numbers that others chose. */
#ifndef SUPERVISOR_NAMES_H
#define SUPERVISOR_NAMES_H

#include <stdbool.h>
#include <stdint.h>

/* Whether name is a guest's name: a letter or digit, then at most 62 of [A-Za-z0-9._-]. */
bool name_is_guest(const char *name);

/*
 * Reads all of text as a decimal number of at most max: digits only, no sign, no space, no more
 * than 20 of them. Returns 0 and *value, or -EINVAL or -ERANGE.
 */
int number_read(const char *text, uint64_t max, uint64_t *value);

#endif
