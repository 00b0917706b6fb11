/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What must always hold. Unlike assert(3) these stay in release builds: a program whose own state
 * is not what it believes ends at once, with a reason, instead of going on with it.
 *
 * An assertion states what our own code has made sure of. What a guest, a peer, a file or another
 * process may choose is an error and never an assertion.
 */
#ifndef BASE_ASSERT_H
#define BASE_ASSERT_H

#define ASSERT_TEXT_MAX                                                          \
	256 /* bytes of the text of a failed assertion, with its NUL; cut beyond \
	     */

/* Ends the process with assert_failed() unless the condition holds. */
#define ASSERT(condition)                   \
	(__builtin_expect(!!(condition), 1) \
		 ? (void)0                  \
		 : assert_failed(#condition, __FILE_NAME__, __LINE__, __func__))
/* A place that is never reached, such as behind a switch over every value of an enum. */
#define ASSERT_UNREACHABLE() assert_failed("unreachable", __FILE_NAME__, __LINE__, __func__)

/* Told of a failed assertion before the process ends: text is one line, "file:line: in f(): x". */
typedef void (*assert_fn)(void *owner, const char *text);

/*
 * Who is told of a failed assertion of this process, besides standard error; NULL: nobody. For
 * main() alone: this is the one variable that belongs to no object, since the macros have none.
 */
void assert_tell(assert_fn tell, void *owner);

/* Writes the text to standard error, tells whom assert_tell() named, and aborts. */
void assert_failed(const char *condition, const char *file, int line, const char *function)
	__attribute__((noreturn, cold));

#endif
