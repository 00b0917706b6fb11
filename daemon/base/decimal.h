/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decimal numbers in text that others wrote: digits only, no sign, no blanks, no overflow. */
#ifndef BASE_DECIMAL_H
#define BASE_DECIMAL_H

#include <stdint.h>

/*
 * Reads all of text as a number of at most max. Leading zeros count for nothing. Returns 0 and
 * *number; -EINVAL if text is anything else than digits, or -ERANGE if the number is above max, and
 * *number is as it was.
 */
int decimal_read(const char *text, uint64_t max, uint64_t *number);

/*
 * Reads the number of at most max with which text begins, and points *end behind its last digit.
 * Returns 0 and *number; -EINVAL if text does not begin with a digit, or -ERANGE if the number is
 * above max, and *number is as it was.
 */
int decimal_read_head(const char *text, const char **end, uint64_t max, uint64_t *number);

#endif
