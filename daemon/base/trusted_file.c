/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/trusted_file.h"

#include <errno.h>
#include <unistd.h>

int trusted_file_check(const char *path, const struct stat *status, struct fault *fault)
{
	if (status->st_uid != 0 && status->st_uid != geteuid())
		return fault_set(fault, EPERM, "%s: owned by user %u; expected chown root", path,
				 status->st_uid);
	if (status->st_mode & (S_IWGRP | S_IWOTH))
		return fault_set(fault, EPERM,
				 "%s: writable by group or others (mode %04o); expected chmod go-w",
				 path, status->st_mode & 07777);
	return 0;
}
