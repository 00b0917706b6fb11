/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may come as a guest of the local transport. On Xen the toolstack decides. */
#ifndef SUPERVISOR_GUESTS_ADMISSION_H
#define SUPERVISOR_GUESTS_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/fault.h"

/* Whether name is a guest's name: a letter or digit, then at most 62 of [A-Za-z0-9._-]. */
bool admission_name_is_valid(const char *name);
/*
 * Whether a process of uid may be the guest `name`; otherwise fills *fault and notes the refusal.
 * context: struct guests.
 */
bool admission_may_attach(void *context, uint32_t uid, const char *name, struct fault *fault);

#endif
