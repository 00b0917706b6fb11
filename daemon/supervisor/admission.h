/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may come as a guest of the local transport. On Xen the toolstack decides. */
#ifndef SUPERVISOR_ADMISSION_H
#define SUPERVISOR_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"

/*
 * Whether a process of uid may be the guest `name`; otherwise fills *fault and notes the refusal.
 * context: struct guests.
 */
bool guest_may_attach(void *context, uint32_t uid, const char *name, struct fault *fault);

#endif
