/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The errors of one file, each with its position, all of them and not only the first. */
#ifndef POLICY_YAML_ERRORS_H
#define POLICY_YAML_ERRORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

#define POLICY_ERRORS_MAX 200u /* lines kept; the rest is only counted */

/* A place in a file, counted from 1. Line 0: the file as a whole. */
struct position {
	uint32_t line;
	uint32_t column;
};

/* The file as a whole. */
#define POSITION_NONE ((struct position){0, 0})

/* Zeroed and given a path, ready for use. Owns text; path is borrowed. */
struct errors {
	const char *path;
	char *text; /* lines, each ended by \n; NULL while there is none */
	size_t used;
	size_t capacity;
	uint32_t count;          /* errors seen, kept or not */
	struct errors *warnings; /* borrowed, for errors_warn(); NULL: nobody wants them */
};

/*
 * Adds "path:line:column: message". Bytes that are not printable ASCII are shown as '?', since much
 * of a message is quoted from the file. The same line twice is kept and counted once. Returns
 * -EINVAL, for `return`.
 */
int errors_add(struct errors *errors, struct position at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * The same for what is valid and can't have been meant: "path:line:column: warning: message", added
 * to the warnings. It makes nothing fail.
 */
void errors_warn(const struct errors *errors, struct position at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Copies as many whole lines as fit into *fault (may be NULL), behind what it holds already, and
 * says so when some did not fit. Returns -EINVAL if there were errors, else 0.
 */
int errors_tell(const struct errors *errors, struct fault *fault);

/* Frees the text. */
void errors_free(struct errors *errors);

#endif
