/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef PROGRAM_CALL_FILTER_H
#define PROGRAM_CALL_FILTER_H

/*
 * Puts the seccomp filter on the calling process and its descendants to come, with no_new_privs.
 * Returns the descriptor that notifications arrive on (close-on-exec), or -errno.
 */
int call_filter_install(void);

#endif
