/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command ring's requests, from the ring to execution. */
#ifndef ENGINE_SERVE_H
#define ENGINE_SERVE_H

struct engine;
struct flight;

/* Serves at most ENGINE_REQUESTS_PER_TURN requests; sets ring_due if there may be more. */
void serve_ring(struct engine *engine);
/* Goes on with a decided call: waits its delay, executes it, finishes it or lets it wait. */
void serve_execute(struct flight *flight);

#endif
