/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest kernel that breaks the protocol on purpose, for tests of backends. Off by default. */
#ifndef PVCALLS_HOOK_ROGUE_H
#define PVCALLS_HOOK_ROGUE_H

int rogue_init(void);
void rogue_exit(void);

#endif
