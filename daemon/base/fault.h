/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An error that a person will read: what is wrong, where, and what to do. */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#define FAULT_TEXT_MAX 8192 /* bytes, with the NUL; cut beyond: a policy may have many errors */

/* Filled by the function that fails, printed by the one that can. Empty text: no fault. */
struct fault {
	char text[FAULT_TEXT_MAX];
};

/* Fills *fault (which may be NULL) and returns -error, so that `return fault_set(...)` fails. */
int fault_set(struct fault *fault, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
