/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For programs that close a sandbox around themselves: LeakSanitizer, which builds with sanitizers
 * run at the end of a process, traces it from a helper, and no sandbox of ours allows that. Leaks
 * are looked for in the unit tests of the same code. Include once, in the program's main file.
 */
#ifndef BASE_SANITIZE_H
#define BASE_SANITIZE_H

#ifdef PVCALLS_SANITIZED
const char *__asan_default_options(void); /* NOLINT(bugprone-reserved-identifier): its name */

__attribute__((visibility("default"), used)) const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif

#endif
