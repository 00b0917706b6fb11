/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files whose content we run, and their directories. */
#ifndef BASE_TRUSTED_FILE_H
#define BASE_TRUSTED_FILE_H

#include <sys/stat.h>

#include "base/fault.h"

/*
 * Whether a file or directory of this status is ours or root's, and nobody else's to write. Returns
 * 0, or -EPERM with what is wrong at path, and what to do.
 */
int trusted_file_check(const char *path, const struct stat *status, struct fault *fault);

#endif
