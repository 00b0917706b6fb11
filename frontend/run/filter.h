/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef RUN_FILTER_H
#define RUN_FILTER_H

/*
 * Puts the seccomp filter on the calling process and its descendants to come, with no_new_privs.
 * Returns the descriptor that notifications arrive on (close-on-exec), or -errno.
 */
int filter_install(void);

#endif
