/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What pvcalls-auditd takes away from itself before it reads the first record. */
#ifndef AUDITD_SANDBOX_H
#define AUDITD_SANDBOX_H

#include <stdint.h>

#include "base/fault.h"

#define AUDITD_SANDBOX_STAY UINT32_MAX /* a uid: keep the one we have */

/*
 * Makes folder (a descriptor) the working directory; as root and with a uid also the whole file
 * system, and becomes that uid and gid without groups or capabilities. Returns 0, or -errno and
 * *fault.
 */
int auditd_sandbox_files(int folder, uint32_t uid, struct fault *fault);
/* Ends the process at any system call but those listed. Returns 0, or -errno and *fault. */
int auditd_sandbox_calls(struct fault *fault);

#endif
