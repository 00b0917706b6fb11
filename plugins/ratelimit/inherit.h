/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a reload keeps: limits with the same id, kind and per go on where they were. */
#ifndef RATELIMIT_INHERIT_H
#define RATELIMIT_INHERIT_H

/* The plugin's inherit hook: see pvcalls/plugin.h. */
void ratelimit_inherit(void *instance, void *before);

#endif
