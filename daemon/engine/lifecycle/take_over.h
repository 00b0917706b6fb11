/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Taking over the rings of a guest whose engine has died. */
#ifndef ENGINE_LIFECYCLE_TAKE_OVER_H
#define ENGINE_LIFECYCLE_TAKE_OVER_H

struct engine;
struct engine_attach_args;

/*
 * Goes on with a command ring that is mapped and bound (calls.ring.page, calls.command_port):
 * answers what the former engine took and did not answer with an error, and ends the streams of its
 * sockets with ECONNRESET. Without a recovery log of this ring, goes on after the last response
 * that was shown.
 */
void take_over(struct engine *engine, const struct engine_attach_args *args);

#endif
