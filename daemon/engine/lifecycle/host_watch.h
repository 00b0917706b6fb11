/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host's addresses, followed as events of the engine's loop. */
#ifndef ENGINE_LIFECYCLE_HOST_WATCH_H
#define ENGINE_LIFECYCLE_HOST_WATCH_H

struct engine;

/* Watches engine->host, which is open. Returns 0 or -errno. */
int host_watch_open(struct engine *engine);

#endif
