/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Taking over the rings of a guest whose engine has died. */
#ifndef ENGINE_ADOPT_H
#define ENGINE_ADOPT_H

#include <stdint.h>

struct engine_attach_args;
struct engine;

/*
 * Goes on with a command ring that is mapped and bound (engine->ring.page, engine->command_port):
 * answers what the former engine took and did not answer with an error, and ends the streams of its
 * sockets with ECONNRESET. Without a recovery log of this ring, goes on after the last response
 * shown.
 */
void engine_adopt(struct engine *engine, const struct engine_attach_args *attach);

#endif
