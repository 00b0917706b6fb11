/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Patterns for names, compared byte by byte. "*" stands for any text, also none; "?" for any one
 * byte; "[...]" for one byte of a set: bytes and ranges such as "a-z", any other byte if "!" or "^"
 * comes first. "]" that comes first and "-" that comes first or last stand for themselves. "\"
 * takes away the meaning of the byte behind it, in a set, too. There are no classes: "[" in a set
 * needs a "\".
 */
#ifndef BASE_GLOB_H
#define BASE_GLOB_H

#include <stdbool.h>

/*
 * Whether pattern is one: each "[" has its "]", no range ends before it begins, and a byte follows
 * each "\". The empty pattern is one, and fits the empty text alone.
 */
bool glob_is_valid(const char *pattern);

/*
 * Whether all of text fits pattern; a pattern that is not valid fits nothing. Takes at most about
 * the product of both lengths in steps, whatever they hold.
 */
bool glob_matches(const char *pattern, const char *text);

/* Whether certainly all that fits narrow fits wide, too. False where it takes more to tell. */
bool glob_covers(const char *wide, const char *narrow);

#endif
